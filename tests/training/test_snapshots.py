"""After a kill at any moment the newest complete snapshot comes back bit for bit, and a damaged one never."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from damage import KINDS, damage

from ab_assets.training import snapshots as module
from ab_assets.training.snapshots import Snapshots

ROOT = Path(__file__).parents[2]
SUPPORT = (ROOT / "tests/support").as_posix()


def content(step, size=64):
    """Return the tensors and the state that a fit has after `step` steps, in every test here."""
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "weight": torch.randn(size, 8, generator=generator),
        "half": torch.randn(7, generator=generator).to(torch.bfloat16),
        "rng": generator.get_state(),
        "step": torch.tensor(float(step)),
    }
    return tensors, {"step": step, "losses": [1 / (step + 1), 0.1 + 0.2], "sampler": {"epoch": step // 10}}


def bits(tensor):
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def same(one, other):
    return one.keys() == other.keys() and all(bits(one[name]) == bits(other[name]) for name in one)


def assert_is(snapshot, step, size=64):
    tensors, state = content(step, size)
    assert (snapshot.step, snapshot.state) == (step, state)
    assert same(snapshot.tensors, tensors)


def saved(folder, *steps, key="k", keep=2):
    kept = Snapshots(folder, key=key, keep=keep)
    for step in steps:
        kept.save(step, *content(step))
    return kept


def listed(folder):
    """Return the names of the snapshots from old to new, and whatever else lies there."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32),
    *(torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu, torch.float8_e4m3fnuz),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tensor_of_every_type_and_shape_survives_bit_for_bit(tmp_path, dtype):
    generator = torch.Generator().manual_seed(2)
    draw = torch.randint(0, 2 if dtype == torch.bool else 256, (96,), dtype=torch.uint8, generator=generator)
    flat = draw.view(dtype)  # bit patterns, so NaN, infinities and -0 are among them
    tensors = {
        "line": flat,
        "cube": flat[:4].reshape(2, 1, 2),
        "point": flat[0].clone(),
        "none": flat[:0].reshape(0, 3),
    }
    Snapshots(tmp_path, key="k").save(1, tensors, {})
    assert same(Snapshots(tmp_path, key="k").newest().tensors, tensors)


def test_the_random_state_of_torch_survives(tmp_path):
    torch.manual_seed(3)
    Snapshots(tmp_path, key="k").save(1, {"rng": torch.get_rng_state()}, {})
    drawn = torch.rand(5)
    torch.manual_seed(4)
    torch.set_rng_state(Snapshots(tmp_path, key="k").newest().tensors["rng"])
    assert torch.equal(torch.rand(5), drawn)


def test_views_tied_and_conjugated_tensors_and_leaves_are_stored_by_value(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    wave = torch.randn(3, dtype=torch.complex64).conj()
    leaf = torch.nn.Parameter(base[0])
    tensors = {"base": base, "tied": base, "turned": base.T, "row": base[1], "wave": wave, "leaf": leaf}
    kept = Snapshots(tmp_path, key="k")
    kept.save(1, tensors, {})
    found = kept.newest().tensors
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    found["base"][0, 0] = 9
    assert found["tied"][0, 0] == 0
    assert base[0, 0] == 0


def test_numbers_in_the_state_survive_exactly(tmp_path):
    state = {
        "a": 0.1 + 0.2,
        "b": 5e-324,
        "c": -0.0,
        "d": 2**70,
        "e": [True, None, "é\n"],
        "f": {"g": 1.7976931348623157e308},
    }
    kept = Snapshots(tmp_path, key="k")
    kept.save(1, {}, state)
    assert repr(kept.newest().state) == repr(dict(sorted(state.items())))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), (1, 2), {1: 2}, {1, 2}, torch.zeros(1), "\ud800"])
def test_a_state_that_would_not_come_back_equal_is_refused_before_anything_is_written(tmp_path, value):
    kept = saved(tmp_path, 1)
    with pytest.raises((TypeError, ValueError)):
        kept.save(2, {}, {"value": value})
    assert_is(kept.newest(), 1)
    assert len(listed(tmp_path)) == 1


def test_a_tensor_that_safetensors_could_not_give_back_is_refused(tmp_path):
    with pytest.raises(ValueError, match="__metadata__"):
        Snapshots(tmp_path, key="k").save(1, {"__metadata__": torch.zeros(1)}, {})


def test_equal_content_gives_equal_files(tmp_path):
    tensors, state = content(5)
    Snapshots(tmp_path / "a", key="k").save(5, tensors, state)
    Snapshots(tmp_path / "b", key="k").save(5, dict(reversed(tensors.items())), dict(reversed(state.items())))
    (one,), (other,) = ([p for p in (tmp_path / side).iterdir() if p.is_dir()] for side in "ab")
    assert sorted(path.name for path in one.iterdir()) == ["manifest.json", "state.json", "tensors.safetensors"]
    assert all((one / p.name).read_bytes() == p.read_bytes() for p in other.iterdir())


def test_everything_is_on_the_disk_before_the_manifest_and_the_manifest_before_the_name(tmp_path, monkeypatch):
    told = []

    def noting(path):
        told.append((path.name.split("-")[0], sorted(file.name for file in tmp_path.glob("*/*"))))

    monkeypatch.setattr(module, "sync", noting)
    monkeypatch.setattr(module, "sync_tree", noting)
    saved(tmp_path, 1)
    files = ["state.json", "tensors.safetensors"]
    assert told[:3] == [
        (".unfinished", files),
        ("manifest.json", ["manifest.json", *files]),
        (".unfinished", ["manifest.json", *files]),
    ]
    assert [name for name, _ in told[3:]] == [tmp_path.name.split("-")[0]]


def test_before_the_first_save_there_is_nothing(tmp_path):
    kept = Snapshots(tmp_path / "absent", key="k")
    kept.clear()
    assert kept.newest() is None
    assert not (tmp_path / "absent").exists()


def test_the_newest_two_are_kept(tmp_path):
    kept = saved(tmp_path, 1, 2, 3, 4)
    assert listed(tmp_path) == ["00000003-step-3", "00000004-step-4"]
    assert_is(kept.newest(), 4)
    assert kept.passed_over == ()


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_are_kept_as_was_said(tmp_path, keep):
    saved(tmp_path, *range(5), keep=keep)
    assert len(listed(tmp_path)) == keep


def test_to_keep_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        Snapshots(tmp_path, key="k", keep=0)


def test_a_step_before_the_first_is_refused(tmp_path):
    with pytest.raises(ValueError, match="counted from 0"):
        Snapshots(tmp_path, key="k").save(-1, {}, {})


def test_the_one_saved_last_is_the_newest_even_at_a_step_that_was_there_before(tmp_path):
    kept = saved(tmp_path, 10, 20)
    kept.save(10, *content(10))
    assert_is(kept.newest(), 10)
    kept.save(10, {}, {"second": True})
    assert kept.newest().state == {"second": True}


def test_a_damaged_snapshot_does_not_count_among_those_kept(tmp_path):
    saved(tmp_path, 1, 2)
    (tmp_path / "00000002-step-2" / "state.json").write_bytes(b"{}")
    kept = Snapshots(tmp_path, key="k")
    assert_is(kept.newest(), 1)
    kept.save(2, *content(2))
    assert listed(tmp_path) == ["00000001-step-1", "00000003-step-2"]


def test_a_snapshot_of_another_fit_is_neither_resumed_nor_removed(tmp_path):
    saved(tmp_path, 1, key="first")
    other = Snapshots(tmp_path, key="second")
    assert other.newest() is None
    assert "another fit (found first, expected second)" in other.passed_over[0]
    for step in (2, 3, 4):
        other.save(step, *content(step))
    assert_is(other.newest(), 4)
    other.clear()
    assert other.newest() is None
    assert_is(Snapshots(tmp_path, key="first").newest(), 1)


def test_a_cleared_fit_has_no_snapshot_and_no_leftover(tmp_path):
    kept = saved(tmp_path, 1, 2)
    (tmp_path / "00000002-step-2" / "manifest.json").unlink()
    (tmp_path / ".unfinished-abc").mkdir()
    kept.clear()
    assert listed(tmp_path) == []
    assert kept.newest() is None


def test_what_interrupted_saves_left_is_never_read_and_gone_at_the_next_save(tmp_path):
    kept = saved(tmp_path, 1)
    shutil.copytree(tmp_path / "00000001-step-1", tmp_path / ".unfinished-abc")
    assert_is(kept.newest(), 1)
    kept.save(2, *content(2))
    assert listed(tmp_path) == ["00000001-step-1", "00000002-step-2"]


def test_a_snapshot_of_another_format_is_passed_over(tmp_path, monkeypatch):
    kept = saved(tmp_path, 1)
    monkeypatch.setattr(module, "_FORMAT", 2)
    kept.save(2, *content(2))
    monkeypatch.undo()
    assert_is(kept.newest(), 1)
    assert "found format 2, expected format 1" in kept.passed_over[0]


def test_of_200_corruptions_of_the_newest_snapshot_none_is_loaded_and_the_older_is_found(tmp_path):
    saved(tmp_path / "good", 7, 8)
    for seed in range(200):
        draw = random.Random(seed)
        folder = tmp_path / str(seed)
        shutil.copytree(tmp_path / "good", folder)
        kind = KINDS[seed % len(KINDS)]
        file = damage(folder / "00000002-step-8", folder / "00000001-step-7", kind, draw)
        kept = Snapshots(folder, key="k")
        found = kept.newest()
        assert found is not None, (seed, kind, file)
        assert found.step == 7, (seed, kind, file)
        assert_is(found, 7)
        assert len(kept.passed_over) == 1, (seed, kind, file)
        assert "00000002-step-8" in kept.passed_over[0], (seed, kind, file)
        shutil.rmtree(folder)


def test_every_byte_of_the_manifest_and_the_state_matters(tmp_path):
    kept = saved(tmp_path, 1)
    for name in ("manifest.json", "state.json"):
        file = tmp_path / "00000001-step-1" / name
        good = file.read_bytes()
        for place in range(len(good)):
            for mask in (1, 0x20):
                file.write_bytes(good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :])
                assert kept.newest() is None, (name, place, mask)
        file.write_bytes(good)
    assert_is(kept.newest(), 1)


@pytest.mark.parametrize("seed", range(20))
def test_when_both_are_corrupt_there_is_none(tmp_path, seed):
    saved(tmp_path, 7, 8)
    shutil.copytree(tmp_path / "00000001-step-7", tmp_path / "other")
    draw = random.Random(seed)
    kinds = [kind for kind in KINDS if not kind.startswith("swap")]
    damage(tmp_path / "00000002-step-8", tmp_path / "other", draw.choice(kinds), draw)
    damage(tmp_path / "00000001-step-7", tmp_path / "other", draw.choice(kinds), draw)
    kept = Snapshots(tmp_path, key="k")
    assert kept.newest() is None
    assert [str(number) in text for number, text in zip((8, 7), kept.passed_over, strict=True)] == [True, True]


def test_snapshots_that_change_places_are_both_passed_over(tmp_path):
    kept = saved(tmp_path, 7, 8)
    one, two = tmp_path / "00000001-step-7", tmp_path / "00000002-step-8"
    one.rename(tmp_path / "x")
    two.rename(one)
    (tmp_path / "x").rename(two)
    assert kept.newest() is None
    assert "step 7 in its manifest" in kept.passed_over[0]


@pytest.mark.parametrize("call", ["sync", "sync_tree", "save_file", "file_digest"])
@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_disk_that_is_full_or_read_only_leaves_the_older_snapshot(tmp_path, monkeypatch, call, left):
    kept = saved(tmp_path, 1)
    real, calls = getattr(module, call), []

    def failing(*args):
        calls.append(args)
        if len(calls) > left:
            raise OSError(28, "No space left on device")
        return real(*args)

    monkeypatch.setattr(module, call, failing)
    fails = left < {"sync": 3}.get(call, 1)
    if fails:
        with pytest.raises(OSError, match="No space left"):
            kept.save(2, *content(2))
    monkeypatch.undo()
    again = Snapshots(tmp_path, key="k")
    if call == "sync" and left == 2:  # all was in place; only the last fsync of the names failed
        assert_is(again.newest(), 2)
    else:
        assert_is(again.newest(), 1)
        assert listed(tmp_path) == ["00000001-step-1"]
    kept.save(3, *content(3))
    assert_is(kept.newest(), 3)


def test_a_file_that_the_system_cuts_short_is_an_error_and_the_older_snapshot_stays(tmp_path):
    kept = saved(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            kept.save(2, {"large": torch.zeros(1 << 16)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_is(kept.newest(), 1)
    assert listed(tmp_path) == ["00000001-step-1"]


def test_two_that_save_at_once_take_turns(tmp_path):
    threads = [threading.Thread(target=saved, args=(tmp_path, *range(8)), kwargs={"key": key}) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in "ab":
        kept = Snapshots(tmp_path, key=key)
        assert_is(kept.newest(), 7)
    assert len(listed(tmp_path)) == 4


# Imports once; for each line `folder size events` forks a child that saves on and on, and says when it is dead.
SAVER = """
import json, os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}, {support!r}]
import torch
torch.set_num_threads(1)
from test_snapshots import Snapshots, content

def work(folder, size, events):
    if events:
        left = [events]
        def watch(event, args):
            if event.split(".")[0] in ("open", "os", "shutil", "tempfile", "fcntl"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        kept = Snapshots(Path(folder), key="k")
        start = kept.newest().step + 1
        made = content(start, size)
        sys.addaudithook(watch)
        kept.save(start, *made)
        os._exit(0)
    kept = Snapshots(Path(folder), key="k")
    found = kept.newest()
    step = 0 if found is None else found.step
    while True:
        step += 1
        kept.save(step, *content(step, size))

for line in sys.stdin:
    folder, size, events = line.split()
    child = os.fork()
    if child == 0:
        try:
            work(folder, int(size), int(events))
        finally:
            os._exit(1)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Saver:
    """A process that forks children which save."""

    def __init__(self):
        code = SAVER.format(root=ROOT.as_posix(), tests=(ROOT / "tests/training").as_posix(), support=SUPPORT)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def start(self, folder, size, events=0):
        self._process.stdin.write(f"{folder} {size} {events}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def ended(self):
        return int(self._process.stdout.readline())

    def close(self):
        self._process.communicate()


@pytest.fixture(scope="module")
def saver():
    one = Saver()
    yield one
    one.close()


@pytest.mark.parametrize("size", [64, 100_000], ids=["small", "3 MB"])
def test_after_a_kill_at_any_moment_the_newest_is_complete_and_what_its_step_says(tmp_path, saver, size):
    started = time.monotonic()
    Snapshots(tmp_path, key="k").save(1, *content(1, size))
    pace = time.monotonic() - started
    reached = [1]
    while len(reached) < 20 or reached[-1] < 5:
        child = saver.start(tmp_path, size)
        # the moment of a kill is the one thing here that is meant to be left to chance; a busy machine gets longer
        time.sleep(random.Random(len(reached)).uniform(0, 0.2 * len(reached)) * pace)
        os.kill(child, signal.SIGKILL)
        assert saver.ended() == -signal.SIGKILL
        kept = Snapshots(tmp_path, key="k")
        found = kept.newest()
        assert kept.passed_over == ()
        assert_is(found, found.step, size)
        reached.append(found.step)
    assert reached == sorted(reached)


def test_a_kill_before_each_file_operation_of_a_save_leaves_a_complete_newest(tmp_path, saver):
    saved(tmp_path / "good", 1, 2)
    ends = []
    for events in range(1, 200):
        folder = tmp_path / str(events)
        shutil.copytree(tmp_path / "good", folder)
        saver.start(folder, 64, events)
        done = saver.ended()
        kept = Snapshots(folder, key="k")
        found = kept.newest()
        assert kept.passed_over == (), events
        assert_is(found, found.step)
        assert all(len(list(one.iterdir())) == 3 for one in folder.glob("0*")), events
        ends.append(found.step)
        kept.save(9, *content(9))
        assert not [name for name in listed(folder) if name.startswith(".")], events
        if done == 0:
            break
        assert done == -signal.SIGKILL
    assert ends == sorted(ends)
    assert ends[0] == 2
    assert ends[-1] == 3
    assert 15 < len(ends) < 199
