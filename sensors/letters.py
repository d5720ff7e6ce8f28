"""What each letter says: of a round, of folders that cannot be taken, of silent runs, of nothing but itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import polars as pl

from ab_assets.artifacts.store import Ref
from ab_assets.errors import AbAssetsError
from ab_assets.evaluation.table import named
from ab_assets.partitions import BENCHMARK
from ab_assets.reports.letter import Content, Item, Letter, Section, letter_of
from ab_assets.reports.scoreboard import certificate_words, scoreboard
from ab_assets.reports.wording import plural, titles_of
from sensors.failures import last_failure
from sensors.runs import PARTITION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dagster import DagsterInstance

    from ab_assets.home import Home
    from ab_assets.reports.scoreboard import Scoreboard
    from resources.mail import MailSettings
    from sensors.failures import Failure, Silent
    from sensors.rounds import Ending
    from sensors.standing import Found

_FOLDERS_IN_A_LETTER = 10
_FOOT = "Sent by ab-assets. What is sent, when and to whom stands in mail.toml of the home."


@dataclass(frozen=True, slots=True)
class Links:
    """Where the things that a letter speaks of can be seen; a path where there is no web address for it."""

    root: Path
    ui: str
    report_url: str

    @classmethod
    def of(cls, home: Home, settings: MailSettings | None) -> Links:
        """Return those that the settings give."""
        return cls(home.root, settings.ui if settings else "", settings.report_url if settings else "")

    def file(self, path: Path) -> str:
        """Return where a file of the home is."""
        if self.report_url and path.is_relative_to(self.root):
            return f"{self.report_url}/{quote(path.relative_to(self.root).as_posix())}"
        return str(path)

    def run(self, run_id: str) -> str:
        """Return where one run is, "" without a UI."""
        return f"{self.ui}/runs/{quote(run_id)}" if self.ui else ""

    def runs(self, tag: str, value: str) -> str:
        """Return where all runs with a tag are, "" without a UI."""
        return f"{self.ui}/runs?{urlencode({'q[]': f'tag:{tag}={value}'})}" if self.ui else ""


def round_letter(instance: DagsterInstance, home: Home, found: Found, ending: Ending, links: Links) -> Letter:
    """Return the letter about a round: what there is, what failed and why, what is missing at the deadline."""
    name, title = found.benchmark.name, found.benchmark.title or found.benchmark.name
    failed, late = _failed(instance, found, links), _late(found) if ending == "expired" else ()
    scores, facts, noted = _results(home, found)
    report = home.store.current(Ref("report", name))
    words = "Report" if found.is_current("report") else "Report of what was there before"
    where = [(words, links.file(report.folder / "report.html"))] if report else []
    runs = {"Runs of the benchmark": links.runs(PARTITION, name)}
    runs["Runs of its models"] = links.runs(f"{PARTITION}/{BENCHMARK}", name)
    state = (
        "not complete at the deadline"
        if ending == "expired"
        else "complete"
        if found.is_current("report")
        else "no report"
    )
    sections = (
        Section("Failed or left out", tuple(failed), "bad"),
        Section("Still to come", tuple(late), "mind"),
        Section("To keep in mind", tuple(noted), "mind"),
    )
    told = f"{len(found.due.left_out)} failed or left out" if failed else ""
    return letter_of(
        Content(
            subject=f"{name}: {', '.join(filter(None, (state, told)))}",
            title=title,
            kicker=f"Benchmark {name}, {found.benchmark.task.replace('-', ' ')}: {state}",
            lead=scores.lead if scores else "There are no results yet.",
            facts=tuple(facts),
            sections=tuple(section for section in sections if section.items),
            scores=scores,
            links=(*where, *((words, link) for words, link in runs.items() if link)),
            foot=_FOOT,
        )
    )


def invalid_letter(refused: Mapping[Path, Sequence[str]]) -> Letter:
    """Return the letter about benchmark folders that cannot be taken, with what `ab-assets validate` says of each."""
    folders = sorted(refused, key=lambda folder: (folder.name, folder))
    names, directories = [folder.name for folder in folders], sorted({str(folder.parent) for folder in folders})
    more = len(names) - _FOLDERS_IN_A_LETTER
    sections = [
        Section(f"{folder.name} cannot be taken", tuple(Item(problem) for problem in refused[folder]), "bad")
        for folder in folders[:_FOLDERS_IN_A_LETTER]
    ]
    if more > 0:
        rest = tuple(Item(name) for name in names[_FOLDERS_IN_A_LETTER:])
        sections.append(Section("The same holds for", rest, "bad"))
    return letter_of(
        Content(
            subject=f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: cannot be taken",
            title="Input that cannot be used",
            kicker=f"{plural(len(names), 'benchmark folder')} in {', '.join(directories)}",
            lead="Mend the files where they are; they are read again when they change. "
            "`ab-assets validate DIR` says the same at once, and more about the rows.",
            sections=tuple(sections),
            foot=_FOOT,
        )
    )


def stuck_letter(silent: Sequence[Silent], hours: float, links: Links) -> Letter:
    """Return the letter about runs that are not over and of which nothing was heard for some hours."""
    items = tuple(
        Item(
            f"{one.what}: {'waits in the queue' if one.waits else 'no word from it'} since {_clock(one.since)}",
            link=links.run(one.run_id) or f"run {one.run_id}",
        )
        for one in silent
    )
    return letter_of(
        Content(
            subject=f"{silent[0].what}{f' and {len(silent) - 1} more' if len(silent) > 1 else ''}: stuck",
            title="Work that does not go on",
            kicker=f"{plural(len(silent), 'run')} without a word for {hours:g} hours",
            lead="Their logs say how far they came. A run that is canceled is not asked for again until its question "
            "changes; one that waits may wait for a place or for the daemon.",
            sections=(Section("Runs", items, "bad"),),
            foot=_FOOT,
        )
    )


def trial_letter(settings: MailSettings) -> Letter:
    """Return the letter that only shows that letters arrive."""
    zone = settings.time_zone or "the time zone of the machine"
    deadline = f"{settings.deadline:%H:%M} ({zone})" if settings.deadline else "none"
    items = (
        Item(f"server: {settings.host}:{settings.port}, {settings.security}"),
        Item(f"deadline: {deadline}"),
        Item(f"Dagster UI: {settings.ui or 'not said, letters name runs without links'}"),
        Item(f"reports: {settings.report_url or 'not said, letters name paths'}"),
    )
    return letter_of(
        Content(
            subject="ab-assets: a test",
            title="Letters arrive",
            kicker="ab-assets mail --test",
            lead="This letter was asked for by a person. Those about benchmarks come to the same addresses.",
            sections=(Section("Settings", items),),
            foot=_FOOT,
        )
    )


def _results(home: Home, found: Found) -> tuple[Scoreboard | None, list[tuple[bool, str]], list[Item]]:
    """Return the metric table, what its certificate says, and what has to be kept in mind with it.

    Results of earlier content are none. Before there is a table, the models that are done stand in it alone.
    """
    name, models, noted = found.benchmark.name, found.benchmark.models, []
    try:
        titles = titles_of([{"name": one.name, "title": one.title} for one in home.catalogue().values()])
        if found.is_current("metric_table"):
            table = home.store.require(Ref("metric_table", name))
            noted = list(table.document("warnings"))
            first = models[0] if any("not ranked" in text for text in noted) else ""
            scores = scoreboard(table.table("scores"), table.table("comparisons"), titles, not_ranked=first)
            noted += [f"without {text}" for text in table.document("missing") if not _is_named(found, text)]
        else:
            done = [model for model in models if found.is_current("model_metrics", model)]
            if not done:
                return None, [], []
            tables = [home.store.require(Ref("model_metrics", name, model)).table("scores") for model in done]
            both = pl.concat(table.with_columns(named(model)) for table, model in zip(tables, done, strict=True))
            scores = scoreboard(both, None, titles, not_ranked=done[0])  # nothing says yet that they may be ranked
            noted = [f"{len(done)} of {plural(len(models), 'model')}; baselines and comparisons come with the report"]
        passed, words = certificate_words(home.store.require(Ref("split", name)).document("certificate"))
    except (AbAssetsError, OSError, ValueError, KeyError) as error:
        return None, [(False, f"The results cannot be read: {error}")], []
    return scores, [(passed, words[:1].upper() + words[1:])], [Item(text) for text in noted]


def _is_named(found: Found, missing: str) -> bool:
    """Tell whether a model that the table is without is among those that are left out for good."""
    model = missing.partition(":")[0]
    return any(
        text.startswith((f"model {model}:", f"evaluate[{found.benchmark.name}|{model}]:"))
        for text in found.due.left_out
    )


def _failed(instance: DagsterInstance, found: Found, links: Links) -> list[Item]:
    """Return what is left out for good: the words of `due`, and the error of the run behind it."""
    items = []
    for text in found.due.left_out:
        failure = _failure(instance, found, text)
        if failure is None:
            items.append(Item(text))
            continue
        link = links.run(failure.run_id) or f"run {failure.run_id}"
        summary, *problems = failure.why.split("\n  - ")
        items.append(Item(text, why=summary, link=link))
        items += [Item(problem) for problem in problems]
    return items


def _failure(instance: DagsterInstance, found: Found, text: str) -> Failure | None:
    target = next((one for one in found.targets if text.startswith(f"{one}:")), None)
    return last_failure(instance, target) if target else None


def _late(found: Found) -> list[Item]:
    running = [Item(f"{target}: running") for target in sorted(found.running)]
    asked = [Item(f"{one.target}: not started", why=one.why) for one in found.due.requests]
    return [*running, *asked, *(Item(text) for text in found.due.later)]


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment).astimezone():%Y-%m-%d %H:%M %Z}"
