"""SIGTERM lets a fit finish its step and store it; then the process ends as it would have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ab_assets.errors import InterruptedFitError
from ab_assets.training.interruption import Interruption

ROOT = Path(__file__).parents[2]

# A loop that asks at each step; it is told to stop, stores what it reached, and says how it ended.
FIT = """
import os, signal, sys
from ab_assets.errors import InterruptedFitError
from ab_assets.training.interruption import Interruption
{before}
try:
    with Interruption() as interruption:
        print("ready", flush=True)
        sys.stdin.readline()  # the signal is sent before this returns
        for step in range(3):
            if interruption.requested:
                print("stored", flush=True)
                raise InterruptedFitError(what="the fit was told to stop", where=f"step {{step}}")
    print("whole", flush=True)
except InterruptedFitError as error:
    print(error, flush=True)
except KeyboardInterrupt:
    print("keyboard", flush=True)
finally:
    print("finally", flush=True)
"""


def run(sent, before="", times=1):
    """Return the exit status and the lines of a fit that is sent a signal while it works."""
    process = subprocess.Popen(
        [sys.executable, "-c", FIT.format(before=before)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    for _ in range(times):
        if sent is not None:
            process.send_signal(sent)
    out, _ = process.communicate("\n")
    return process.returncode, out.split("\n")[:-1]


@pytest.mark.parametrize("times", [1, 5])
def test_a_fit_that_is_told_to_stop_stores_its_state_and_dies_of_the_signal(times):
    assert run(signal.SIGTERM, times=times) == (-signal.SIGTERM, ["stored"])


def test_where_the_signal_was_ignored_the_fit_stops_with_its_own_error():
    code, lines = run(signal.SIGTERM, before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    assert (code, lines) == (0, ["stored", "step 0: the fit was told to stop.", "finally"])


def test_a_handler_that_was_there_is_called_after_the_state_is_stored():
    before = "signal.signal(signal.SIGTERM, lambda number, frame: (print('handler', number), sys.exit(7)))"
    assert run(signal.SIGTERM, before) == (7, ["stored", "handler 15", "finally"])


def test_a_handler_that_interrupts_like_the_keyboard_is_called_too():
    before = "signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))"
    assert run(signal.SIGTERM, before) == (0, ["stored", "keyboard", "finally"])


def test_the_keyboard_interrupts_at_once_as_ever():
    assert run(signal.SIGINT) == (0, ["keyboard", "finally"])


def test_a_fit_that_nobody_stops_ends_as_ever():
    assert run(None) == (0, ["whole", "finally"])


@pytest.fixture
def calls():
    """Signals that reach a handler of our own, which is taken away at the end."""
    seen = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    yield seen
    signal.signal(signal.SIGTERM, previous)


def test_the_previous_handler_is_back_after_the_block_and_after_an_error_in_it(calls):
    mine = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        assert signal.getsignal(signal.SIGTERM) != mine
    assert signal.getsignal(signal.SIGTERM) == mine
    with pytest.raises(ZeroDivisionError), Interruption():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) == mine
    assert not interruption.requested
    assert calls == []


def test_the_signal_is_passed_on_once_and_only_at_the_end(calls):
    during = []

    def fit():
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            during.append((interruption.requested, list(calls)))
            raise InterruptedFitError(what="the fit was told to stop")

    with pytest.raises(InterruptedFitError):
        fit()
    assert during == [(True, [])]
    assert calls == [signal.SIGTERM]


def test_the_signal_is_passed_on_after_a_fit_that_was_done_before_it_asked(calls):
    with Interruption():
        os.kill(os.getpid(), signal.SIGTERM)
    assert calls == [signal.SIGTERM]


def test_an_inner_block_hands_the_request_to_the_outer_one(calls):
    with Interruption() as outer:
        with Interruption() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
        assert inner.requested
        assert outer.requested
        assert calls == []
    assert calls == [signal.SIGTERM]


def test_outside_the_main_thread_nothing_is_done(calls):
    mine, found = signal.getsignal(signal.SIGTERM), []

    def work():
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGTERM)
            found.append((signal.getsignal(signal.SIGTERM), interruption.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(mine, False)]
    assert calls == [signal.SIGTERM]


def test_a_handler_that_is_not_of_python_is_left_in_place(calls, monkeypatch):
    mine = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    with Interruption():
        monkeypatch.undo()
        assert signal.getsignal(signal.SIGTERM) == mine
