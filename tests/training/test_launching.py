import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ranks

from ab_assets.errors import FitFailedError
from ab_assets.training.launching import LOG, launch

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join([str(Path(ranks.__file__).parent), str(ROOT)])


def failing(folder, how, **options):
    environment = {"PYTHONPATH": PATHS, "RANKS_DO": "fail", "FAIL": how}
    launch("ranks", folder, processes=2, environment=environment, **options)


def gone(folder):
    """Whether both ranks wrote their process id and have ended."""
    files = list(folder.glob("pid-*"))
    return len(files) == 2 and not any(_runs(int(file.read_text())) for file in files)


def _runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_failed_rank_speaks_for_all(tmp_path):
    with pytest.raises(FitFailedError, match=r"step 3: the loss is not a finite number. Look at these rows."):
        failing(tmp_path, "said")
    assert gone(tmp_path)


@pytest.mark.long
def test_an_unforeseen_error_names_rank_and_log(tmp_path):
    with pytest.raises(FitFailedError, match="rank-1 failed") as caught:
        failing(tmp_path, "unexpected")
    assert "ZeroDivisionError: division by zero" in str(caught.value)
    assert str(tmp_path / LOG) in str(caught.value)
    assert "ZeroDivisionError" in (tmp_path / LOG).read_text()


@pytest.mark.long
def test_a_rank_that_says_nothing_is_quoted_from_the_log(tmp_path):
    with pytest.raises(FitFailedError, match="no word why") as caught:
        failing(tmp_path, "silent")
    assert "(exitcode: 7)" in str(caught.value) or "exitcode  : 7" in str(caught.value)
    assert "last words" in (tmp_path / LOG).read_text()
    assert gone(tmp_path)


def test_an_interruption_ends_all_ranks(tmp_path):
    def interrupt(message, done, total):
        assert (message, done, total) == ("waiting", 1, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing(tmp_path, "never", progress=interrupt)
    files = list(tmp_path.glob("pid-*"))
    assert files
    assert not any(_runs(int(file.read_text())) for file in files)


@pytest.mark.long
def test_ranks_end_when_their_launcher_is_killed(tmp_path):
    code = f"import sys; sys.path[:0] = {PATHS.split(os.pathsep)!r}\n"
    code += "from pathlib import Path; from ab_assets.training.launching import launch\n"
    code += f"launch('ranks', Path({str(tmp_path)!r}), processes=2, environment={{'PYTHONPATH': {PATHS!r}}})"
    launcher = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "RANKS_DO": "fail", "FAIL": "never"})
    try:
        _wait(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    finally:
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
    _wait(lambda: gone(tmp_path))


def _wait(reached, seconds=60):
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)
