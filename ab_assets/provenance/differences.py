"""What became of a benchmark between two versions of its data: its rows, its scores, and what else was other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ab_assets.artifacts.fingerprint import changes
from ab_assets.errors import BadInputError
from ab_assets.provenance.changed_rows import ChangedRows, changed_rows
from ab_assets.provenance.code_changes import in_words
from ab_assets.provenance.lineage import lineage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.artifacts.store import Artifact, ArtifactStore
    from ab_assets.provenance.history import History, Version

METRICS = ("ap", "mcc", "auroc")

NO_TEST = (
    "This is not a paired test. Each value is the mean over the test folds of its own version; the versions test other "
    "rows, so a difference has no interval, and whether two intervals overlap decides nothing."
)
_FIELDS = ("value", "low", "high")


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """old, new: versions of the data; *_table: the metric tables over them, None where there is none.

    `metrics` has method, metric, old and new {value, low, high} (None where a table lacks the method) and difference.
    `besides`: in words, what decided the two tables other than the data; empty when nothing did.
    """

    old: Version
    new: Version
    rows: ChangedRows
    old_table: Version | None
    new_table: Version | None
    metrics: tuple[Mapping[str, Any], ...]
    besides: tuple[str, ...]


def versions_of(history: History, older: str | None, newer: str | None) -> tuple[Version, Version]:
    """Return the versions of these names; by default the two newest, and beside a single one that which is shown.

    Raises BadInputError when there are no two, UnknownNameError for a name that is none.
    """
    if older is not None:
        shown = next((one for one in history.data if one.current), history.data[0] if history.data else None)
        second = history.named(newer) if newer is not None else shown
        if second is not None:
            return history.named(older), second
    if len(history.data) < 2:
        raise BadInputError(
            what=f"{history.benchmark} has {len(history.data)} version(s) of its data: nothing to compare yet",
            hint=f"They are listed by: ab-assets history {history.benchmark}",
        )
    return history.data[1], history.data[0]


def difference_between(store: ArtifactStore, history: History, old: Version, new: Version) -> VersionDifference:
    """Return how the two versions differ. Raises CorruptArtifactError when a table of theirs is damaged."""
    rows = changed_rows(old.artifact.table("antibodies"), new.artifact.table("antibodies"))
    tables = history.results_of(old), history.results_of(new)
    scores = [_scores(table.artifact) if table else {} for table in tables]
    besides = _besides(store, tables[0].artifact, tables[1].artifact) if tables[0] and tables[1] else ()
    return VersionDifference(old, new, rows, *tables, _metrics(*scores), tuple(besides))


def _scores(table: Artifact) -> dict[tuple[str, str], dict[str, Any]]:
    shown = table.table("scores").filter((pl.col("view") == "all") & pl.col("metric").is_in(METRICS))
    return {(row["method"], row["metric"]): {name: row[name] for name in _FIELDS} for row in shown.to_dicts()}


def _metrics(
    old: Mapping[tuple[str, str], Mapping[str, Any]], new: Mapping[tuple[str, str], Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    found = []
    methods = dict.fromkeys(method for method, _ in (*new, *old))
    for method in methods:
        for metric in METRICS:
            before, after = old.get((method, metric)), new.get((method, metric))
            was, now = before["value"] if before else None, after["value"] if after else None
            difference = None if was is None or now is None else now - was
            found.append({"method": method, "metric": metric, "old": before, "new": after, "difference": difference})
    return tuple(found)


def _besides(store: ArtifactStore, old: Artifact, new: Artifact) -> list[str]:
    """Return what differs in the questions behind two results, other than inputs."""
    before, after = _questions(store, old), _questions(store, new)
    where: defaultdict[str, list[str]] = defaultdict(list)
    for place, (question, _) in after.items():
        earlier, revision = before.get(place, (None, ""))
        label = f"{place[0]}{f' of {place[1]}' if place[1] else ''}"
        if earlier is None:
            where["was not there before"].append(label)
            continue
        for change in changes(earlier, question):
            if change.part != "inputs":
                where[in_words(change, revision)].append(label)
    for place in before.keys() - after.keys():
        where["is not there any more"].append(f"{place[0]}{f' of {place[1]}' if place[1] else ''}")
    return [f"{what} ({', '.join(sorted(labels))})" for what, labels in where.items()]


def _questions(store: ArtifactStore, root: Artifact) -> dict[tuple[str, str], tuple[Mapping[str, Any], str]]:
    found = {}
    for origin in lineage_of(store, root).origins.values():
        manifest = origin.artifact.manifest
        place = manifest["asset"], manifest["partition_model"] or ""
        found[place] = origin.artifact.question, str(origin.made["git_revision"])
    return found
