"""Nothing but a live daemon and its code server acts: a folder that is dropped becomes a report and a letter."""

from __future__ import annotations

import shutil
import time

import pytest
from dagster import AssetKey, DagsterInstance, RunsFilter
from live_daemon import live_daemon
from mail_server import PASSWORD, USER, mail_server
from tests_support import TWINS, antibody_rows, write_csv, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.home import Home
from jobs.launching import prepare_dagster_home
from sensors.arrivals import is_taken
from sensors.folders import look_at, read_seen
from sensors.runs import ACTIVE

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("automation")]

DEADLINE_SECONDS = 420
LOOKS = 3


def until(check, daemon, log):
    """Return the first answer that is true; fails with the daemon's log when it dies or the deadline passes."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end and daemon.poll() is None:
        if answer := check():
            return answer
        time.sleep(0.5)
    pytest.fail(f"it did not happen; the daemon says:\n{log.read_text()[-4000:]}")
    return None


@pytest.fixture
def live(tmp_path):
    home = Home(tmp_path / "home")
    (home.root / "models").mkdir(parents=True)
    (home.root / "models" / "twins.toml").write_text(TWINS)
    (home.root / "benchmarks").mkdir()
    log = tmp_path / "daemon.log"
    environment = {
        "AB_ASSETS_HOME": str(home.root),
        "AB_ASSETS_AUTOMATION": "on",
        "AB_ASSETS_SENSOR_SECONDS": "2",
        "AB_ASSETS_SMTP_USER": USER,
        "AB_ASSETS_SMTP_PASSWORD": PASSWORD,
        "DAGSTER_HOME": str(prepare_dagster_home(home)),
    }
    with (
        mail_server(auth=True) as box,
        DagsterInstance.from_config(str(home.dagster)) as instance,
    ):
        (home.root / "mail.toml").write_text(
            f'host = "127.0.0.1"\nport = {box.port}\nsecurity = "none"\nsender = "ab-assets@lab.example"\n'
            'recipients = ["you@lab.example"]\n'
        )
        with live_daemon(log, environment) as daemon:
            yield home, instance, daemon, log, box


def ticks(instance, name):
    """Return the ticks of a sensor that are over, newest first."""
    [state] = [one for one in instance.all_instigator_state() if one.name == name]
    found = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=500)
    return [one for one in found if one.status.value != "STARTED"]


def runs(instance):
    return sorted((run.job_name, run.tags["dagster/partition"], run.status.value) for run in instance.get_runs())


def removed_and_returned(home, instance, daemon, log):
    """Move the folder away and back to a further directory; the UI is told of both, and a look comes after it."""

    def told():
        records = instance.fetch_observations(AssetKey("raw_dataset"), limit=10).records
        return [record.asset_observation.metadata["folder"].value for record in records]

    share = home.root.parent / "share"
    (home.root / "benchmarks.toml").write_text('directories = ["../share"]')
    home.folder("tiny-live").rename(home.root / "aside")
    until(told, daemon, log)
    assert told()[0].startswith("retired: its folder was removed on ")
    share.mkdir()
    (home.root / "aside").rename(share / "tiny-live")
    until(lambda: len(told()) > 1, daemon, log)
    assert told()[0] == f"not retired any more: its folder is in {share}"
    back = time.time()
    until(lambda: len([t for t in ticks(instance, "refresh") if t.timestamp > back]) >= LOOKS, daemon, log)


def test_a_dropped_folder_becomes_a_report_touching_it_starts_nothing_and_other_content_another(live, tmp_path):
    home, instance, daemon, log, box = live
    folder = write_specificity(tmp_path / "tiny-live")
    shutil.copytree(folder, home.folder("tiny-live"))
    until(lambda: home.store.current(Ref("report", "tiny-live")), daemon, log)
    until(lambda: not instance.get_runs(RunsFilter(statuses=ACTIVE)), daemon, log)
    first = runs(instance)
    assert first == [
        ("evaluate", "tiny-live|twin-bert", "SUCCESS"),
        ("evaluate", "tiny-live|twin-esm", "SUCCESS"),
        ("prepare", "tiny-live", "SUCCESS"),
        ("report", "tiny-live", "SUCCESS"),
    ]
    until(box.subjects, daemon, log)
    assert box.subjects() == ["tiny-live: complete"]
    letter = box.messages[0][1].get_body(("html",)).get_content()
    assert "Tiny BERT fine-tuned" in letter
    assert str(home.store.require(Ref("report", "tiny-live")).path("report.html")) in letter
    tags = [run.tags for run in instance.get_runs()]
    assert {one["ab_assets/asked_by"] for one in tags} == {"refresh"}
    assert all(one["ab_assets/why"] and one["ab_assets/asked_for"] for one in tags)
    for file in home.folder("tiny-live").iterdir():
        file.touch()
    toml = home.folder("tiny-live") / "benchmark.toml"
    toml.write_text("# a remark\n" + toml.read_text())
    until(lambda: is_taken(look_at(home.folder("tiny-live")), read_seen(home).get("tiny-live")), daemon, log)
    taken = time.time()
    for sensor in ("refresh", "notifications"):
        until(lambda name=sensor: len([t for t in ticks(instance, name) if t.timestamp > taken]) >= LOOKS, daemon, log)
    assert runs(instance) == first
    assert box.subjects() == ["tiny-live: complete"]
    earlier = home.store.require(Ref("report", "tiny-live")).digest
    write_csv(home.folder("tiny-live") / "antibodies.csv", antibody_rows(60, seed=9))
    until(lambda: home.store.require(Ref("report", "tiny-live")).digest != earlier, daemon, log)
    until(lambda: not instance.get_runs(RunsFilter(statuses=ACTIVE)), daemon, log)
    assert runs(instance) == sorted(first * 2)
    until(lambda: len(box.messages) > 1, daemon, log)
    assert box.subjects() == ["tiny-live: complete"] * 2
    removed_and_returned(home, instance, daemon, log)
    assert runs(instance) == sorted(first * 2)
    said = " ".join(str(tick.skip_reason) for tick in ticks(instance, "notifications"))
    assert "sent: tiny-live completed" in said
    for text in (log.read_text(), said, (home.root / "mail" / "told.json").read_text()):
        assert USER not in text
        assert PASSWORD not in text
