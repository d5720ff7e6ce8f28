"""What a result cost is measured where it can be, and left out where not."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

import pytest

from ab_assets.artifacts import costs
from ab_assets.artifacts.costs import Asked, Meter

ASKED = Asked(gpus=2, gpu_resource="nvidia.com/gpu", cpus=4, memory_gib=16, attempt=3)


class Busy:
    """GPUs that are busy as told, read as fast as the meter wants; `until(n)` returns after n readings."""

    def __init__(self, *parts: float) -> None:
        self.parts = list(parts)
        self.count = 0
        self._read = threading.Condition()

    def __call__(self) -> list[float]:
        with self._read:
            self.count += 1
            self._read.notify_all()
        return self.parts

    def until(self, count: int) -> None:
        with self._read:
            assert self._read.wait_for(lambda: self.count >= count, timeout=60)


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(costs, "_SECONDS_BETWEEN", 0.001)


def metered(asked, busy, readings=20):
    with Meter(asked, busy) as meter:
        busy.until(readings)
    return meter


def test_what_was_asked_for_is_told():
    found = Meter(ASKED, Busy()).costs(10)
    assert found == {
        "gpus": 2, "gpu_resource": "nvidia.com/gpu", "cpus_requested": 4, "memory_gib_requested": 16, "attempt": 3,
        "gpu_seconds_requested": 20.0,
    }  # fmt: skip


def test_busy_gpus_add_up():
    meter = metered(ASKED, Busy(1.0, 0.5))
    first, last = meter._samples[0], meter._samples[-1]
    assert last[1] == pytest.approx(1.5 * (last[0] - first[0]))
    assert meter.costs(10**6)["gpu_seconds_used"] == pytest.approx(last[1], abs=1e-3)


@pytest.mark.parametrize("parts", [(), (0.0, 0.0)])
def test_idle_gpus_cost_no_use(parts):
    meter = metered(ASKED, Busy(*parts))
    assert meter.costs(10**6)["gpu_seconds_used"] == 0.0


def test_only_the_last_seconds_count():
    meter = Meter(ASKED, Busy())
    meter._samples = [(0.0, 0.0), (10.0, 10.0), (20.0, 10.0)]
    used = [meter._used(at) for at in (-1.0, 0.0, 5.0, 10.0, 15.0, 20.0, 99.0)]
    assert used == [0.0, 0.0, 5.0, 10.0, 10.0, 10.0, 10.0]


def test_where_no_gpu_can_be_read_none_is_measured(monkeypatch):
    monkeypatch.setattr(costs, "_nvml", lambda: None)
    with Meter(ASKED) as meter:
        pass
    assert "gpu_seconds_used" not in meter.costs(1)


def test_the_meter_stops_with_its_block():
    busy = Busy(1.0)
    metered(ASKED, busy, readings=3)
    assert "gpu-meter" not in [thread.name for thread in threading.enumerate()]


def test_an_error_in_the_block_stops_it_too():
    with pytest.raises(ZeroDivisionError), Meter(ASKED, Busy(1.0)):
        1 / 0  # noqa: B018
    assert "gpu-meter" not in [thread.name for thread in threading.enumerate()]


def stamp(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def times(tmp_path, value):
    file = tmp_path / "times-1.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return Asked(submitted=1000.0, begun=1100.0, times=file)


def test_the_queue_ends_where_a_node_is_found(tmp_path):
    asked = times(tmp_path, {"scheduled": stamp(1060)})
    assert asked.waiting() == {"queue_seconds": 60.0, "start_seconds": 40.0}


@pytest.mark.parametrize("value", ["", "[1]", "null", {}, {"scheduled": None}, {"scheduled": "soon"}, {"scheduled": 3}])
def test_all_of_it_is_the_queue_where_nobody_wrote_when_a_node_was_found(tmp_path, value):
    assert times(tmp_path, value).waiting() == {"queue_seconds": 100.0, "start_seconds": 0.0}


def test_without_the_file_it_is_the_same(tmp_path):
    asked = Asked(submitted=1000.0, begun=1100.0, times=tmp_path / "nothing")
    assert asked.waiting() == {"queue_seconds": 100.0, "start_seconds": 0.0}


@pytest.mark.parametrize(("placed", "queue"), [(900, 0.0), (1200, 100.0)])
def test_clocks_that_differ_make_no_negative_waiting(tmp_path, placed, queue):
    waiting = times(tmp_path, {"scheduled": stamp(placed)}).waiting()
    assert waiting == {"queue_seconds": queue, "start_seconds": 100.0 - queue}


def test_what_was_not_submitted_did_not_wait():
    assert Asked().waiting() == {}
    assert "queue_seconds" not in Meter(Asked(), Busy()).costs(1)
