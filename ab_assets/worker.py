"""What a pod runs: python -m ab_assets.worker SPECIFICATION, a JSON file of the home that says what is wanted.

It tells of progress, results and errors through dagster-pipes, in a file of the home: whoever started it may be gone,
and another reads on. Exit codes: 0 done, 75 another pod has begun this attempt, 143 told to stop, else failed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_pipes import (
    PipesDefaultMessageWriter,
    PipesMappingParamsLoader,
    PipesMessageWriterChannel,
    open_dagster_pipes,
)

from ab_assets.artifacts.costs import Asked, Meter
from ab_assets.errors import AbAssetsError, InterruptedFitError, UnavailableError
from ab_assets.home import Home
from ab_assets.models.availability import availability, obtain_files, require_available
from ab_assets.work import Work, run_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster_pipes import PipesContext, PipesMessage, PipesParams

    from ab_assets.artifacts.publication import Outcome

BEGUN_BY_ANOTHER = 75
_FAILED, _TERMINATED = 1, 143
_SECONDS_BETWEEN = 1.0
_OOM_KILLS = Path("/sys/fs/cgroup/memory.events")


@dataclass(frozen=True, slots=True)
class Specification:
    """What a pod is told. `gpus_required`: to see no GPU although some were asked for is an error."""

    work: Work
    asked: Asked
    gpus_required: bool
    pipes: dict[str, str]

    @classmethod
    def read(cls, file: Path) -> Specification:
        """Return what `file` says; its times are told in a file beside it."""
        value = json.loads(file.read_text(encoding="utf-8"))
        work, asked = value["work"], value["asked"]
        times = file.with_name(f"times-{asked['attempt']}.json")
        return cls(
            work=Work(**work | {"wanted": frozenset(work["wanted"])}),
            asked=Asked(**asked, begun=time.time(), times=times),
            gpus_required=value["gpus_required"],
            pipes=value["pipes"],
        )


class _Terminated(BaseException):
    """SIGTERM came outside a fit."""


class _Unheard(PipesMessageWriterChannel):
    """Where messages go: nowhere once the folder is gone, because the run was cancelled and this process is to save."""

    def __init__(self, channel: PipesMessageWriterChannel) -> None:
        self._channel = channel

    def write_message(self, message: PipesMessage) -> None:
        with suppress(FileNotFoundError):
            self._channel.write_message(message)


class _Writer(PipesDefaultMessageWriter):
    @contextmanager
    def open(self, params: PipesParams) -> Iterator[PipesMessageWriterChannel]:
        with super().open(params) as channel:
            yield _Unheard(channel)


class _Voice:
    """What the worker says to whoever follows it."""

    def __init__(self, pipes: PipesContext) -> None:
        self._pipes = pipes
        self._last: dict[str, float] = {}

    def say(self, kind: str, **details: Any) -> None:  # noqa: ANN401 - any JSON value
        self._pipes.report_custom_message({"kind": kind} | details)

    def progress(self, message: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - self._last.get(message, 0.0) >= _SECONDS_BETWEEN:
            self._last[message] = now
            self.say("progress", message=message, done=done, total=total)

    def outcome(self, outcome: Outcome) -> None:
        self.say("outcome", asset=outcome.ref.asset, digest=outcome.artifact.digest, reused=outcome.reused)

    def error(self, error: Exception) -> None:
        problem = asdict(error.problem) if isinstance(error, AbAssetsError) else {}
        text = str(error) or type(error).__name__
        trace = "".join(traceback.format_exception(error))
        self.say("error", type=type(error).__name__, problem=problem, message=text, traceback=trace)


def main(file: Path) -> int:
    """Do the work that `file` describes and return the exit code."""
    specification = Specification.read(file)
    if not _first(file.with_name(f"begun-{specification.asked.attempt}")):
        return BEGUN_BY_ANOTHER
    loader = PipesMappingParamsLoader(specification.pipes)
    with open_dagster_pipes(params_loader=loader, message_writer=_Writer()) as pipes:
        voice = _Voice(pipes)
        killed = _oom_kills()
        try:
            signal.signal(signal.SIGTERM, _terminate)  # process 1 of a container has no default
            _require_gpus(specification)
            home = Home.from_environment()
            _bring_weights(home, specification.work.model)
            with Meter(specification.asked) as meter:
                for outcome in run_work(home, specification.work, voice.progress, meter):
                    voice.outcome(outcome)
        except (_Terminated, InterruptedFitError):
            voice.say("interrupted")
            return _TERMINATED
        except MemoryError as error:
            voice.error(error)
            voice.say("out of memory")
            return _FAILED
        except Exception as error:  # noqa: BLE001 - every error is told to the run that waits for it
            voice.error(error)
            if _oom_kills() > killed:  # a rank of ours was killed, and we only see that it is gone
                voice.say("out of memory")
            return error.exit_code if isinstance(error, AbAssetsError) else _FAILED
        voice.say("done")
    return 0


def _first(marker: Path) -> bool:
    """Tell whether this pod is the first of its attempt: a Job may put another in the place of a deleted one."""
    mine = os.environ.get("POD_UID", "")
    try:
        with marker.open("x", encoding="utf-8") as out:
            out.write(mine)
    except FileExistsError:
        return bool(mine) and marker.read_text(encoding="utf-8") == mine
    return True


def _require_gpus(specification: Specification) -> None:
    if not specification.asked.gpus or not specification.gpus_required:
        return
    import torch  # noqa: PLC0415 - seconds to import

    if not torch.cuda.is_available():
        raise UnavailableError(
            what="this pod was given GPUs and PyTorch sees none",
            where=os.environ.get("NODE_NAME", ""),
            found=f"torch {torch.__version__}, CUDA {torch.version.cuda or 'not built in'}",
            expected=f"{specification.asked.gpus} of {specification.asked.gpu_resource}",
            hint="Use the CUDA image and check gpu.runtime_class in kubernetes.toml; gpus = 0 runs it on CPUs, "
            "gpu.required = false lets it.",
        )


def _bring_weights(home: Home, model: str) -> None:
    spec = home.model(model)
    if availability(spec).download_bytes:
        obtain_files(spec)
    require_available(spec)


def _terminate(number: int, frame: object) -> None:  # noqa: ARG001 - the arguments of every handler
    raise _Terminated


def _oom_kills() -> int:
    """Return how many processes of this container the kernel has killed for memory (cgroup v2), 0 where unknown."""
    try:
        counts = dict(line.split() for line in _OOM_KILLS.read_text(encoding="ascii").splitlines())
    except OSError:
        return 0
    return int(counts.get("oom_kill", 0))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
