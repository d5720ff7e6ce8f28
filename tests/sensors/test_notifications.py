"""The sensor mails: one letter for each round, for each version that cannot be taken, for runs that are silent."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from types import SimpleNamespace

import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from mail_server import PASSWORD, USER, free_port, mail_server
from tests_support import SPECIFICITY, TWINS, antibody_rows, write_csv, write_specificity

from ab_assets.home import Home
from jobs.launching import open_instance
from sensors.outbox import Pause, Told, read_told, write_told

pytestmark = pytest.mark.xdist_group("letters")  # one fixture for all

ONE_MODEL = SPECIFICITY.replace('["twin-bert", "twin-esm"]', '["twin-bert"]')
HOSTILE = ONE_MODEL.replace("Tiny specificity", f"Tiny <b>specificity</b> {PASSWORD}")
HOUR = 3600.0


class Lab:
    """A home whose sensors look when the test says, at the time that it says, with a mail server of its own."""

    def __init__(self, automation, monkeypatch) -> None:
        self.automation, self.home, self.instance = automation, automation.home, automation.instance
        self.port, self.ahead = free_port(), 0.0
        clock = SimpleNamespace(**vars(time) | {"time": lambda: time.time() + self.ahead})
        for module in ("sensors.notifications", "sensors.outbox"):
            monkeypatch.setattr(importlib.import_module(module), "time", clock)
        self.settings()

    def settings(self, **more):
        lines = {
            "host": "127.0.0.1",
            "port": self.port,
            "security": "none",
            "sender": "ab-assets@lab.example",
            "recipients": ["you@lab.example"],
            "ui": "https://dagster.example",
            "timeout_seconds": 5,
        } | more
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
        (self.home.root / "mail.toml").write_text(text)

    def look(self, *, server=True, **options):
        """Look once; return the subjects of what was sent, and what the sensor says."""
        if not server:
            return [], self.automation.tick("notifications").skip_message
        with mail_server(port=self.port, **options) as box:
            said = self.automation.tick("notifications").skip_message
        self.last = box.messages[-1][1] if box.messages else None
        return box.subjects(), said

    def body(self, kind="plain") -> str:
        return self.last.get_body((kind,)).get_content()

    def add(self, name="tiny", toml=ONE_MODEL, **options):
        write_specificity(self.home.folder(name), toml=toml, **options)
        self.automation.arrive()


@pytest.fixture
def lab(automation, monkeypatch):
    """Return a home with nothing in it, at which the sensor has looked: from here on, what is over is news."""
    for name in ("AB_ASSETS_SMTP_USER", "AB_ASSETS_SMTP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    lab = Lab(automation, monkeypatch)
    lab.look()
    return lab


@pytest.fixture(scope="module")
def made(tmp_path_factory, automation_of):
    """Return the store of a home in which `tiny` was made."""
    home = Home(tmp_path_factory.mktemp("made"))
    (home.root / "models").mkdir()
    (home.root / "models" / "twins.toml").write_text(TWINS)
    write_specificity(home.folder("tiny"), toml=HOSTILE)
    with open_instance(home) as instance:
        automation = automation_of(home, instance)
        automation.arrive()
        automation.play()
    return home.root / "store"


@pytest.fixture
def finished(lab, made):
    """Return the lab in which all of `tiny` has just been made, and nobody was told."""
    lab.add(toml=HOSTILE)
    shutil.copytree(made, lab.home.root / "store")
    return lab


def test_without_settings_it_says_so_and_does_nothing(automation):
    said = automation.tick("notifications").skip_message
    assert said.startswith("no mail is sent: there is no mail.toml in")
    assert not (automation.home.root / "mail").exists()


def test_settings_that_are_wrong_are_named(lab):
    lab.settings(recipient="x", security="ssl")
    said = lab.look(server=False)[1]
    assert "Did you mean 'recipients'?" in said
    assert "security" in said


def test_a_dropped_folder_leads_to_one_letter_with_table_plot_and_links(lab, made):
    lab.add(toml=HOSTILE)
    assert lab.look() == ([], "nothing to tell")
    shutil.copytree(made, lab.home.root / "store")
    assert lab.look() == (["tiny: complete"], "sent: tiny completed")
    text, html = lab.body(), lab.body("html")
    for words in ("Tiny BERT fine-tuned", "k-mer logistic regression", "AUROC", "average precision", "report.html"):
        assert words in text
        assert words in html
    assert "Tiny <b>specificity</b>" in text
    assert "<b>specificity" not in html
    assert "Tiny &lt;b&gt;specificity&lt;/b&gt;" in html
    assert "https://dagster.example/runs?q%5B%5D=tag%3Adagster%2Fpartition%3Dtiny" in html
    pictures = [part for part in lab.last.walk() if part.get_content_type() == "image/png"]
    assert all(f'src="cid:{part["Content-ID"][1:-1]}"' in html for part in pictures)
    assert all(part.get_content().startswith(b"\x89PNG") for part in pictures)
    assert len(pictures) >= 6
    assert len(lab.last.as_bytes()) < 200_000
    for _ in range(3):  # nothing changed, no letter; a restart is what each look is
        assert lab.look() == ([], "nothing to tell")
    # Touched, saved again, a remark: no round. Other content: one. The first again: one.
    folder = lab.home.folder("tiny")
    (folder / "benchmark.toml").write_text("# a remark\n" + (folder / "benchmark.toml").read_text())
    lab.automation.arrive()
    assert lab.look()[0] == []
    for seed in (5, 1):
        write_csv(folder / "antibodies.csv", antibody_rows(60, seed=seed))
        lab.automation.arrive()
        assert lab.look()[0] == []
        lab.automation.play()
        assert lab.look()[0] == ["tiny: complete"]
        assert lab.look()[0] == []


def test_what_was_complete_before_mail_was_set_up_is_no_news(finished):
    shutil.rmtree(finished.home.root / "mail")
    assert finished.look()[0] == []
    assert finished.look()[0] == []


def test_rows_that_are_refused_are_told_at_once_with_the_error_and_its_run(lab):
    lab.add()
    write_csv(
        lab.home.folder("tiny") / "antibodies.csv", [{**row, "binds": "<i>maybe</i>"} for row in antibody_rows(9)]
    )
    lab.automation.arrive()
    tags = lab.automation.asked()[0]["prepare", "tiny"]
    assert not lab.automation.run("prepare", tags)
    [failed] = lab.instance.get_runs()
    assert lab.look()[0] == ["tiny: no report, 1 failed or left out"]
    text, html = lab.body(), lab.body("html")
    assert "prepare[tiny]: what it reads is refused" in " ".join(text.split())
    assert "<i>maybe</i>" in text
    assert "<i>maybe" not in html
    assert f"https://dagster.example/runs/{failed.run_id}" in html
    assert lab.automation.asked()[0] == {}
    assert lab.look()[0] == []


def test_what_fails_for_another_reason_is_told_when_it_is_given_up_with_its_newest_run(lab):
    lab.add()
    tags = lab.automation.asked()[0]["prepare", "tiny"]
    for _ in range(2):
        create_run_for_test(lab.instance, "prepare", status=DagsterRunStatus.FAILURE, tags=dict(tags))
        assert lab.look()[0] == []  # it is asked for again
    newest = create_run_for_test(lab.instance, "prepare", status=DagsterRunStatus.FAILURE, tags=dict(tags))
    assert lab.look()[0] == ["tiny: no report, 1 failed or left out"]
    assert "prepare[tiny]: failed 3 times" in " ".join(lab.body().split())
    assert f"https://dagster.example/runs/{newest.run_id}" in lab.body("html")


def test_at_the_deadline_it_goes_out_with_what_is_there(lab, made):
    lab.settings(deadline="07:00", time_zone="Europe/Berlin")
    lab.add(toml=HOSTILE)
    assert lab.look()[0] == []
    lab.ahead = 26 * HOUR
    assert lab.look()[0] == ["tiny: not complete at the deadline"]
    assert "prepare[tiny]: not started" in lab.body()
    lab.ahead = 60 * HOUR
    assert lab.look()[0] == []
    shutil.copytree(made, lab.home.root / "store")
    assert lab.look()[0] == []


def test_results_of_earlier_content_are_none_of_this_round(finished):
    lab = finished
    assert lab.look()[0] == ["tiny: complete"]
    write_csv(lab.home.folder("tiny") / "antibodies.csv", antibody_rows(60, seed=5))
    lab.automation.arrive()
    tags = lab.automation.asked()[0]["prepare", "tiny"]
    for _ in range(3):
        create_run_for_test(lab.instance, "prepare", status=DagsterRunStatus.FAILURE, tags=dict(tags))
    assert lab.look()[0] == ["tiny: no report, 1 failed or left out"]
    assert "There are no results yet." in lab.body()
    assert "AUROC" not in lab.body("html")
    assert "certified" not in lab.body().lower()
    assert "Report of what was there before: " in lab.body()
    write_csv(lab.home.folder("tiny") / "antibodies.csv", antibody_rows(60, seed=1))
    lab.automation.arrive()
    assert lab.look()[0] == ["tiny: complete"]


def test_at_the_deadline_the_models_that_are_done_are_shown(finished):
    lab = finished
    lab.settings(deadline="07:00")
    toml = lab.home.folder("tiny") / "benchmark.toml"
    toml.write_text(toml.read_text().replace('["twin-bert"]', '["twin-bert", "twin-esm"]'))
    lab.automation.arrive()
    assert lab.look()[0] == []
    lab.ahead = 26 * HOUR
    assert lab.look()[0] == ["tiny: not complete at the deadline"]
    text = lab.body()
    assert "Tiny BERT fine-tuned: average precision" in text
    assert "k-mer" not in text
    assert "1 of 2 models; baselines and comparisons come with the report" in text
    assert "evaluate[tiny|twin-esm]: not started" in text
    assert "Certified" in text


def test_nobody_is_late_when_nothing_is_started_by_itself(lab, monkeypatch):
    monkeypatch.setenv("AB_ASSETS_AUTOMATION", "off")
    lab.settings(deadline="07:00")
    lab.add()
    lab.look()
    lab.ahead = 60 * HOUR
    assert lab.look()[0] == []


def test_a_server_that_is_away_is_named_and_asked_again_later_and_later(finished):
    said = finished.look(server=False)[1]
    assert said.startswith("letters wait until")
    assert "cannot be reached" in said
    again = []
    for _ in range(6):
        told = read_told(finished.home, [])
        assert told.server.failures == len(again) + 1
        again.append(told.server.again - time.time() - finished.ahead)
        said = finished.look(server=False)[1]
        assert "letters wait until" in said
        assert "127.0.0.1" in said
        finished.ahead += again[-1] + 1
        finished.look(server=False)
    assert [round(seconds, -1) for seconds in again] == [60, 300, 900, 3600, 3600, 3600]
    finished.ahead += 2 * HOUR
    assert finished.look()[0] == ["tiny: complete"]
    assert finished.look()[0] == []
    assert read_told(finished.home, []).server == Pause()


def test_a_letter_that_is_refused_stands_in_no_others_way_and_is_given_up(finished):
    lab = finished
    lab.home.folder("one").mkdir()
    (lab.home.folder("one") / "benchmark.toml").write_text("task = 1")
    lab.automation.arrive()
    sent = []
    for _ in range(8):
        with mail_server(port=lab.port) as box:
            box.answers = ["554 no"]
            said = lab.automation.tick("notifications").skip_message
        sent += box.subjects()
        lab.ahead += 2 * HOUR
    assert sent == ["one: cannot be taken"]
    assert "nothing to tell" in said


def test_a_folder_that_cannot_be_taken_is_told_once_for_each_version(lab):
    folder = lab.home.folder("bad")
    folder.mkdir(parents=True)

    def write(text):
        (folder / "benchmark.toml").write_text(text)
        lab.automation.arrive()
        return lab.look()[0]

    wrong = ONE_MODEL.replace("folds", "fold<script>s")
    assert write('task = "x"') == ["bad: cannot be taken"]
    assert "task cannot have this value" in lab.body()
    assert write('task = "x"') == []  # saved again
    assert write('task = "y"') == ["bad: cannot be taken"]
    assert write('task = "x"') == ["bad: cannot be taken"]
    assert write(ONE_MODEL) == ["bad: cannot be taken"]
    assert "'antibodies.csv' is not there" in lab.body()
    write_csv(folder / "antibodies.csv", antibody_rows(9))
    lab.automation.arrive()
    assert lab.look()[0] == []
    assert write(wrong) == ["bad: cannot be taken"]
    assert "<script>" not in lab.body("html")


def test_a_second_folder_of_a_name_in_another_directory_is_told_once_with_its_place(lab, tmp_path):
    (lab.home.root / "benchmarks.toml").write_text('directories = ["../share"]')
    for folder in (lab.home.root / "benchmarks" / "tiny", tmp_path / "share" / "tiny"):
        write_specificity(folder, count=6)
    lab.automation.arrive()
    assert lab.look()[0] == ["tiny: cannot be taken"]
    assert "which counts. Rename one of them." in lab.body("html")
    assert f"1 benchmark folder in {tmp_path / 'share'}" in lab.body("html")
    assert lab.look()[0] == []


def test_many_folders_that_cannot_be_taken_are_one_letter(lab):
    for index in range(30):
        folder = lab.home.folder(f"bad-{index:02d}")
        folder.mkdir(parents=True)
        (folder / "benchmark.toml").write_text('task = "<img src=x>"')
    lab.automation.arrive()
    assert lab.look()[0] == ["bad-00 and 29 more: cannot be taken"]
    assert "bad-29" in lab.body()
    assert "<img src=x" not in lab.body("html")
    assert lab.look()[0] == []


def test_silent_runs_are_told_once_and_together(lab):
    lab.settings(stuck_hours=12)
    for status in (DagsterRunStatus.STARTED, DagsterRunStatus.NOT_STARTED):
        tags = {"dagster/partition": f"tiny-{status.value.lower()}"}
        create_run_for_test(lab.instance, "prepare", status=status, tags=tags)
    assert lab.look()[0] == []
    lab.ahead = 13 * HOUR
    assert lab.look()[0] == ["prepare[tiny-started] and 1 more: stuck"]
    assert "prepare[tiny-not_started]: waits in the queue since" in lab.body().replace("\n    ", " ")
    assert "https://dagster.example/runs/" in lab.body()
    lab.ahead = 26 * HOUR
    assert lab.look()[0] == []
    [run] = lab.instance.get_runs()[:1]
    lab.instance.report_engine_event("a word", run)  # after which it is silent again
    assert lab.look()[0] == ["prepare[tiny-not_started]: stuck"]
    assert lab.look()[0] == []


def test_one_letter_each_when_many_rounds_are_over(lab, monkeypatch):
    for index in range(4):
        lab.add(f"tiny-{index}", count=6)
    for index in range(4):
        tags = lab.automation.asked()[0]["prepare", f"tiny-{index}"]
        for _ in range(3):
            create_run_for_test(lab.instance, "prepare", status=DagsterRunStatus.FAILURE, tags=dict(tags))
    subjects = lab.look()[0]
    assert sorted(subjects) == [f"tiny-{index}: no report, 1 failed or left out" for index in range(4)]
    assert lab.look()[0] == []


def test_a_record_that_cannot_be_read_is_begun_anew(finished):
    assert finished.look()[0] == ["tiny: complete"]
    for broken in ("", "[]", "{}", '{"home": 1, "new": 2}'):
        (finished.home.root / "mail" / "told.json").write_text(broken)
        assert finished.look() == ([], "nothing to tell")


def test_killed_between_the_servers_word_and_the_disk_it_sends_the_same_letter_again(finished):
    before = (finished.home.root / "mail" / "told.json").read_text()
    finished.look()
    first = finished.last["Message-ID"]
    (finished.home.root / "mail" / "told.json").write_text(before)
    finished.look()
    assert finished.last["Message-ID"] == first


def test_what_is_remembered_survives_the_disk(lab):
    told = Told("h", ("a",), invalid={"b": ("s", "x")}, silent={"r": 1.5}, refused={"k": Pause(1, 2.0, "w")}, letters=3)
    write_told(lab.home, told)
    assert read_told(lab.home, []) == told


def test_secrets_stand_nowhere(finished, monkeypatch, caplog, capsys):
    lab = finished
    monkeypatch.setenv("AB_ASSETS_SMTP_USER", USER)
    monkeypatch.setenv("AB_ASSETS_SMTP_PASSWORD", PASSWORD)
    monkeypatch.setenv("AB_ASSETS_SMTP_PASSWORD", f"{PASSWORD}!")
    said = [lab.look(auth=True)[1]]
    assert "refused user and password" in said[0]
    monkeypatch.setenv("AB_ASSETS_SMTP_PASSWORD", PASSWORD)
    lab.ahead = HOUR
    subjects, text = lab.look(auth=True)
    assert subjects == ["tiny: complete"]
    out = capsys.readouterr()
    record = (lab.home.root / "mail" / "told.json").read_text()
    bodies = [lab.body(), lab.body("html"), lab.last["Subject"]]
    for shown in (*said, text, caplog.text, out.out, out.err, record, *bodies):
        assert PASSWORD not in shown
        assert USER not in shown
