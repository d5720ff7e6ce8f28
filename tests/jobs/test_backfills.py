"""A backfill is what the UI and the API would ask for: a run per listed partition, watched, and asked again by id."""

from __future__ import annotations

import time

import pytest
from dagster import DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.test_utils import create_run_for_test
from live_daemon import live_daemon
from tests_support import SPECIFICITY, TWINS, write_paratope, write_specificity

from ab_assets.commands.backfilling import start, watch
from ab_assets.errors import BadInputError, UnknownNameError
from ab_assets.home import Home
from jobs.backfills import launch, missing_daemons, progressed, retry, targeted, unprepared
from jobs.launching import open_instance, prepare_dagster_home
from jobs.serving import WORKSPACE

DEADLINE_SECONDS = 300


@pytest.fixture
def two(tmp_path):
    """Return a home with two benchmarks, nothing made: one lists both models, one lists one."""
    home = Home(tmp_path / "home")
    (home.root / "models").mkdir(parents=True)
    (home.root / "models" / "twins.toml").write_text(TWINS)
    write_specificity(home.folder("both"))
    write_paratope(home.folder("one"))
    return home


def test_only_listed_pairs_are_meant(two):
    assert targeted(two, "evaluate", model="twin-bert") == ["both|twin-bert", "one|twin-bert"]
    assert targeted(two, "evaluate", model="twin-esm") == ["both|twin-esm"]
    assert targeted(two, "evaluate", benchmark="both") == ["both|twin-bert", "both|twin-esm"]
    assert targeted(two, "evaluate", benchmark="both", model="twin-esm") == ["both|twin-esm"]
    assert targeted(two, "report", model="twin-esm") == ["both"]
    assert unprepared(two, ["both|twin-bert", "both|twin-esm"]) == ["both"]


@pytest.mark.parametrize("asked", [{"model": "none"}, {"benchmark": "none"}, {"benchmark": "one", "model": "twin-esm"}])
def test_what_is_not_there_is_refused(two, asked):
    with pytest.raises(UnknownNameError):
        targeted(two, "evaluate", **asked)


def test_retired_benchmarks_are_left_out(two):
    write_specificity(two.folder("both"), toml=f"retired = true\n{SPECIFICITY}")
    assert targeted(two, "evaluate", model="twin-bert") == ["one|twin-bert"]


def test_a_dry_run_asks_for_nothing(two, capsys):
    start(two, job="evaluate", model="twin-bert", benchmark=None, priority=-1, force=False, dry_run=True)
    said = capsys.readouterr()
    assert "2 partitions; nothing was asked for" in said.out
    assert "--job prepare comes first" in said.err
    with open_instance(two) as instance:
        assert instance.get_backfills() == []


def test_without_a_daemon_it_waits_and_says_so(two, capsys):
    start(two, job="prepare", model="twin-bert", benchmark=None, priority=-1, force=False, dry_run=False)
    said = capsys.readouterr()
    assert "No daemon is alive" in said.err
    with open_instance(two) as instance:
        [backfill] = instance.get_backfills()
        assert backfill.status is BulkActionStatus.REQUESTED
        assert backfill.partition_names == ["both", "one"]
        assert backfill.tags["dagster/priority"] == "-1"
        assert missing_daemons(instance)
    assert f"--status {backfill.backfill_id}" in said.out
    assert watch(two, backfill.backfill_id, as_json=False) == 0


def test_nothing_said_is_refused(two):
    with pytest.raises(BadInputError, match="--model"):
        start(two, job="prepare", model=None, benchmark=None, priority=-1, force=False, dry_run=True)


def ended(instance, backfill_id, **statuses):
    """Pretend that the daemon ran these partitions and was done with the backfill."""
    for key, status in statuses.items():
        tags = {"dagster/backfill": backfill_id, "dagster/partition": key}
        create_run_for_test(instance, job_name="prepare", status=status, tags=tags)
    instance.update_backfill(instance.get_backfill(backfill_id).with_status(BulkActionStatus.COMPLETED_FAILED))


def test_what_failed_is_asked_again_alone(two):
    with open_instance(two) as instance:
        first = launch(instance, "prepare", ["a", "b", "c", "d"], priority=3, force=True)
        assert {one.state for one in progressed(instance, first).partitions} == {"waiting"}
        with pytest.raises(BadInputError, match="under way"):
            retry(instance, first)
        ended(instance, first, a=DagsterRunStatus.SUCCESS, b=DagsterRunStatus.FAILURE, c=DagsterRunStatus.CANCELED)
        found = progressed(instance, first)
        assert found.over
        assert [one.state for one in found.partitions] == ["done", "failed", "canceled", "waiting"]
        second, keys = retry(instance, first)
        assert keys == ["b", "c", "d"]
        backfill = instance.get_backfill(second)
        assert backfill.tags["dagster/parent_backfill_id"] == first
        assert backfill.tags["dagster/priority"] == "3"
        assert backfill.run_config == instance.get_backfill(first).run_config != {}
        ended(instance, second, b=DagsterRunStatus.SUCCESS, c=DagsterRunStatus.SUCCESS, d=DagsterRunStatus.SUCCESS)
        with pytest.raises(BadInputError, match="nothing failed"):
            retry(instance, second)


def test_an_unknown_backfill_is_said_to_be_unknown(two):
    with open_instance(two) as instance, pytest.raises(UnknownNameError, match="nowhere"):
        progressed(instance, "nowhere")


LAUNCH = """
mutation Launch($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@pytest.mark.ui
@pytest.mark.xdist_group("daemon")
def test_command_and_api_ask_for_the_same_and_the_daemon_makes_it(two, tmp_path):
    environment = {
        "AB_ASSETS_HOME": str(two.root),
        "AB_ASSETS_AUTOMATION": "off",
        "DAGSTER_HOME": str(prepare_dagster_home(two)),
    }
    log = tmp_path / "daemon.log"
    with open_instance(two) as instance:
        ours = launch(instance, "prepare", ["both", "one"], priority=5)
        with live_daemon(log, environment) as daemon:
            theirs = asked_by_the_api(instance, ["both", "one"])
            until(lambda: progressed(instance, ours).over and progressed(instance, theirs).over, daemon, log)
            first, second = instance.get_backfill(ours), instance.get_backfill(theirs)
            assert not missing_daemons(instance)
        assert first.selector_id == second.selector_id
        assert (first.status, first.partition_names) == (second.status, second.partition_names)
        found = [progressed(instance, one) for one in (ours, theirs)]
        assert [one.counts() for one in found] == [{"done": 2}, {"done": 2}], (found, log.read_text()[-4000:])
        runs = [run for run in instance.get_runs() if run.tags["dagster/backfill"] == ours]
        assert {run.tags["dagster/partition"] for run in runs} == {"both", "one"}
        assert {run.tags["dagster/priority"] for run in runs} == {"5"}


def asked_by_the_api(instance, keys):
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_graphql.test.utils import execute_dagster_graphql

    with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(WORKSPACE)])) as process:
        selector = {"repositoryLocationName": "ab_assets", "repositoryName": "__repository__"}
        parameters = {
            "selector": {"repositorySelector": selector, "partitionSetName": "prepare_partition_set"},
            "partitionNames": keys,
        }
        answer = execute_dagster_graphql(process.create_request_context(), LAUNCH, {"parameters": parameters})
        return answer.data["launchPartitionBackfill"]["backfillId"]


def until(check, daemon, log):
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end and daemon.poll() is None:
        if check():
            return
        time.sleep(0.5)
    pytest.fail(f"it did not happen; the daemon says:\n{log.read_text()[-4000:]}")
