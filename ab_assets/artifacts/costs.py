"""What making a result cost: GPUs asked for and used, memory at its highest, waiting before the work began."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_SECONDS_BETWEEN = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What this process was given. `submitted` and `begun`: seconds since the epoch; `times`: see `queue_seconds`."""

    gpus: int = 0
    gpu_resource: str = ""
    cpus: float = 0.0
    memory_gib: float = 0.0
    attempt: int = 1
    submitted: float | None = None
    begun: float | None = None
    times: Path | None = None

    def waiting(self) -> dict[str, float]:
        """Return queue_seconds, from being asked to a place on a node, and start_seconds, from there to the work.

        Where nobody wrote down when the place was found, all of it counts as the queue.
        """
        if self.submitted is None or self.begun is None:
            return {}
        placed = _seconds(self.times, "scheduled") if self.times is not None else None
        placed = self.begun if placed is None else min(max(placed, self.submitted), self.begun)
        return {
            "queue_seconds": round(placed - self.submitted, 3),
            "start_seconds": round(self.begun - placed, 3),
        }


class Meter:
    """Measures how busy the GPUs of this process are while its `with` block runs.

    `read`: returns the busy part (0 to 1) of each GPU over the last moments; by default NVML is asked, and where there
    is none no GPU is measured.
    """

    def __init__(self, asked: Asked, read: Callable[[], list[float]] | None = None) -> None:
        self._asked = asked
        self._read = read
        self._samples: list[tuple[float, float]] = []  # (monotonic seconds, GPU-seconds used until then)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._read = self._read or _nvml()
        if self._read is not None:
            self._samples.append((time.monotonic(), 0.0))
            self._thread = threading.Thread(target=self._sample, name="gpu-meter", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def costs(self, seconds: float) -> dict[str, Any]:
        """Return what the last `seconds` cost, JSON-able; what cannot be measured here is left out."""
        asked = self._asked
        found: dict[str, Any] = {
            "gpus": asked.gpus,
            "gpu_resource": asked.gpu_resource,
            "cpus_requested": asked.cpus,
            "memory_gib_requested": asked.memory_gib,
            "attempt": asked.attempt,
            "gpu_seconds_requested": round(asked.gpus * seconds, 3),
        } | asked.waiting()
        if self._samples:
            now = time.monotonic()
            found["gpu_seconds_used"] = round(self._used(now) - self._used(now - seconds), 3)
        if (peak := _peak_gpu_memory()) is not None:
            found["peak_gpu_memory_bytes"] = peak
        return found

    def _sample(self) -> None:
        while not self._stop.wait(_SECONDS_BETWEEN):
            now, (before, used) = time.monotonic(), self._samples[-1]
            busy = sum(self._read()) if self._read is not None else 0.0
            self._samples.append((now, used + busy * (now - before)))

    def _used(self, at: float) -> float:
        """Return the GPU-seconds used until `at`, in a straight line between samples."""
        earlier = [sample for sample in self._samples if sample[0] <= at]
        later = [sample for sample in self._samples if sample[0] > at]
        if not earlier or not later:
            return (earlier[-1] if earlier else self._samples[0])[1]
        (start, low), (end, high) = earlier[-1], later[0]
        return low + (high - low) * (at - start) / (end - start)


def _nvml() -> Callable[[], list[float]] | None:
    try:
        import pynvml  # noqa: PLC0415 - only a process that is metered
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return None

    def read() -> list[float]:
        found = []
        for handle in handles:
            try:
                found.append(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
            except pynvml.NVMLError:  # a MIG slice does not tell
                continue
        return found

    return read if handles else None


def _peak_gpu_memory() -> int | None:
    torch = sys.modules.get("torch")  # whoever computes has imported it
    if torch is None or not torch.cuda.is_available():
        return None
    return int(sum(torch.cuda.max_memory_reserved(index) for index in range(torch.cuda.device_count())))


def _seconds(file: Path, name: str) -> float | None:
    try:
        stamp = json.loads(file.read_text(encoding="utf-8"))[name]
        return datetime.fromisoformat(stamp).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return None
