"""Work side by side in processes of their own, ended together."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, cast

from ab_assets.errors import AbAssetsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    Call = tuple[Callable[..., None], tuple[Any, ...]]


def run_side_by_side(calls: Mapping[str, Call], count: int, failed: Callable[[str, AbAssetsError], None]) -> None:
    """Make every call in a process of its own, at most `count` at a time; tell `failed` of those that raise.

    A call is a module's function and its arguments. When this is interrupted (Ctrl-C, SIGTERM), all of them are, and
    it returns to its caller only when they have ended.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(calls)
    running: dict[int, tuple[str, SpawnProcess, Connection]] = {}
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        while waiting or running:
            while waiting and len(running) < count:
                name = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_alone, args=(theirs, *calls[name]), name=name)
                process.start()
                theirs.close()
                running[process.sentinel] = (name, process, ours)
            for sentinel in wait(list(running)):
                name, process, answer = running.pop(cast("int", sentinel))
                if (error := _ended(name, process, answer)) is not None:
                    failed(name, error)
    finally:
        for _, process, _ in running.values():
            process.terminate()
        for _, process, _ in running.values():
            process.join()
        signal.signal(signal.SIGTERM, before)


def _alone(answer: Connection, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.setsid()  # Ctrl-C reaches who started us, who tells us once
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        function(*arguments)
    except AbAssetsError as error:
        error.__cause__ = None  # its traceback is in the run's log
        answer.send(error)


def _as_interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - the arguments of every handler
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what it started is being ended
    signal.raise_signal(signal.SIGINT)


def _ended(name: str, process: SpawnProcess, answer: Connection) -> AbAssetsError | None:
    process.join()
    try:
        error: AbAssetsError | None = answer.recv()
    except EOFError:
        error = None
    answer.close()
    if error is None and process.exitcode:
        error = AbAssetsError(what=f"the process of {name} ended with exit code {process.exitcode}")
    return error
