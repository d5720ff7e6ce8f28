"""Processes side by side: each heard, all ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from calls import die, meet, note, refuse

from ab_assets.errors import AbAssetsError, ComputeFailedError
from jobs.processes import run_side_by_side


def test_each_call_has_a_process_of_its_own(tmp_path):
    run_side_by_side({name: (note, (str(tmp_path), name)) for name in "abc"}, 2, pytest.fail)
    pids = {Path(tmp_path, name).read_text() for name in "abc"}
    assert len(pids) == 3
    assert str(os.getpid()) not in pids


def test_as_many_as_allowed_are_there_at_once(tmp_path):
    run_side_by_side({name: (meet, (str(tmp_path), name, 3)) for name in "abc"}, 3, pytest.fail)


def test_an_error_is_told_as_it_was_raised_and_the_others_go_on(tmp_path):
    told: dict[str, AbAssetsError] = {}
    calls = {"bad": (refuse, ("Evicted",)), "good": (note, (str(tmp_path), "good"))}
    run_side_by_side(calls, 1, told.__setitem__)
    assert list(told) == ["bad"]
    assert isinstance(told["bad"], ComputeFailedError)
    assert told["bad"].cause == "Evicted"
    assert "Ask again." in str(told["bad"])
    assert (tmp_path / "good").exists()


def test_a_process_that_dies_is_told():
    told: dict[str, AbAssetsError] = {}
    run_side_by_side({"one": (die, ())}, 1, told.__setitem__)
    assert "exit code -9" in str(told["one"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_when_it_is_interrupted_all_of_them_are_and_have_ended(tmp_path, number):
    program = (
        "import sys\n"
        "from calls import linger\n"
        "from jobs.processes import run_side_by_side\n"
        "if __name__ == '__main__':\n"
        "    run_side_by_side({n: (linger, (sys.argv[1], n)) for n in 'ab'}, 2, print)\n"
    )
    (tmp_path / "program.py").write_text(program)
    started = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), str(tmp_path)],
        stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    while not all((tmp_path / name).exists() for name in "ab"):
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(number)
    assert started.wait(60) != 0
    assert all((tmp_path / f"{name}-ended").exists() for name in "ab")
