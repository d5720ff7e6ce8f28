"""What `history` and `diff` print: a document for a machine and lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ab_assets.errors import UnknownNameError
from ab_assets.provenance.differences import NO_TEST, difference_between, versions_of
from ab_assets.provenance.history import DATA, RAW, REPORT, TABLE, headline, history_of
from ab_assets.provenance.lineage import short

if TYPE_CHECKING:
    from ab_assets.home import Home
    from ab_assets.provenance.differences import VersionDifference
    from ab_assets.provenance.history import History, Version

Row = dict[str, Any]
_COUNTS = ("rows", "positives", "negatives", "unlabelled", "rejected")


def history_document(home: Home, name: str) -> Row:
    """Return the versions of a benchmark, newest first: of the files, the data, the metric tables and the reports."""
    history = _history(home, name)
    data = {one.digest: number for number, one in enumerate(history.data, start=1)}
    return {
        "benchmark": name,
        "raw": [_version_row(one) | {"files": _files(one)} for one in history.versions[RAW]],
        "data": [
            {"number": data[one.digest]}
            | _version_row(one)
            | {count: _count(one, count) for count in _COUNTS}
            | {"raw": sorted(one.read(RAW))}
            for one in history.data
        ],
        "results": [
            _version_row(one)
            | {"data": sorted(data[read] for read in one.read(DATA) if read in data), "ap": headline(one)}
            for one in history.versions[TABLE]
        ],
        "reports": [_version_row(one) | {"results": sorted(one.read(TABLE))} for one in history.versions[REPORT]],
    }


def history_lines(document: Row) -> list[str]:
    """Return the versions as lines of text; a star marks what is shown now."""
    lines = [f"{document['benchmark']}: versions, newest first; * is what it shows now", "", "data"]
    for row in document["data"]:
        labels = f"{row['positives']} positive, {row['negatives']} negative, {row['unlabelled']} unlabelled"
        lines.append(
            f"{_star(row)} {row['number']:>3}  {_title(row)}  {row['rows']} rows ({labels}),"
            f" {row['rejected']} source rows rejected, from files {_short_list(row['raw'])}"
        )
    lines += ["", "files"]
    for row in document["raw"]:
        files = ", ".join(f"{name} {short(sha)}" for name, sha in row["files"].items())
        lines.append(f"{_star(row)}      {_title(row)}  {files}")
    lines += ["", "results (AP, average precision, with 95 % intervals, highest first)"]
    for row in document["results"]:
        lines.append(f"{_star(row)}      {_title(row)}  data {', '.join(map(str, row['data'])) or '-'}")
        lines += [f"         {one['method']:<32}  {_interval(one)}" for one in row["ap"]]
    lines += ["", "reports"]
    lines += [f"{_star(row)}      {_title(row)}  results {_short_list(row['results'])}" for row in document["reports"]]
    return lines


def difference(home: Home, name: str, older: str | None, newer: str | None) -> VersionDifference:
    """Return how two versions of the benchmark's data differ, and their results."""
    history = _history(home, name)
    return difference_between(home.store, history, *versions_of(history, older, newer))


def difference_document(found: VersionDifference, name: str) -> Row:
    """Return a difference as one JSON value; every row is listed."""
    rows = found.rows
    return {
        "benchmark": name,
        "old": _version_row(found.old) | {"rows": _count(found.old, "rows")},
        "new": _version_row(found.new) | {"rows": _count(found.new, "rows")},
        "counts": rows.counts,
        "added": rows.added.to_dicts(),
        "removed": rows.removed.to_dicts(),
        "relabelled": rows.relabelled.to_dicts(),
        "renumbered": rows.renumbered.to_dicts(),
        "old_results": found.old_table.digest if found.old_table else None,
        "new_results": found.new_table.digest if found.new_table else None,
        "metrics": [dict(one) for one in found.metrics],
        "paired": False,
        "besides_the_data": list(found.besides),
    }


def difference_lines(document: Row, *, shown: int) -> list[str]:
    """Return a difference as lines of text, of each kind of changed rows the first `shown`."""
    old, new = document["old"], document["new"]
    lines = [
        f"{document['benchmark']}: A {_title(old)}, {old['rows']} rows  ->  B {_title(new)}, {new['rows']} rows",
        "",
    ]
    lines.append(", ".join(f"{count} {what}" for what, count in document["counts"].items()))
    for kind in ("added", "removed", "relabelled", "renumbered"):
        rows = document[kind]
        lines += [f"{kind}:"] if rows else []
        lines += [f"  {_row_text(row)}" for row in rows[:shown]]
        lines += [f"  and {len(rows) - shown} more"] if len(rows) > shown else []
    return [*lines, "", *_metric_lines(document)]


def _metric_lines(document: Row) -> list[str]:
    lacking = [side for side, key in (("A", "old_results"), ("B", "new_results")) if document[key] is None]
    if lacking:
        return [f"There are no metrics over version {' and '.join(lacking)}: no metric table was made from it."]
    shown = [one for one in document["metrics"] if not one["method"].endswith("-shuffled")]
    width = max((len(one["method"]) for one in shown), default=6)
    lines = [f"{'method':<{width}}  metric  {'A':<20}  {'B':<20}  B - A"]
    for one in shown:
        change = f"{one['difference']:+.3f}" if one["difference"] is not None else "-"
        sides = f"{_interval(one['old']):<20}  {_interval(one['new']):<20}"
        lines.append(f"{one['method']:<{width}}  {one['metric']:<6}  {sides}  {change}")
    lines += ["", NO_TEST]
    besides = document["besides_the_data"]
    lines.append("The data are not all that differs:" if besides else "Nothing but the data differs between the two.")
    return lines + [f"  - {one}" for one in besides]


def _history(home: Home, name: str) -> History:
    try:
        home.benchmark(name)
    except UnknownNameError:
        if not any(ref.benchmark == name for ref in home.store.partitions()):
            raise
    return history_of(home.store, name)


def _version_row(version: Version) -> Row:
    return {"version": version.digest, "when": version.when, "made": len(version.made), "current": version.current}


def _files(version: Version) -> Row:
    return dict(version.artifact.question["inputs"])


def _count(version: Version, name: str) -> int | None:
    value = version.artifact.metadata.get(name)
    return sum(value.values()) if isinstance(value, dict) else value


def _title(row: Row) -> str:
    times = f" (made {row['made']} times)" if row["made"] > 1 else ""
    return f"{short(row['version'])}  {row['when']}{times}"


def _star(row: Row) -> str:
    return "*" if row["current"] else " "


def _short_list(digests: list[str]) -> str:
    return ", ".join(short(digest) for digest in digests) or "-"


def _interval(value: Row | None) -> str:
    if value is None or value["value"] is None:
        return "-"
    if value["low"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.2f}, {value['high']:.2f}]"


def _row_text(row: Row) -> str:
    change = f"  {row['was']} -> {row['now']}" if "was" in row else ""
    return f"{row['sequence_id']} ({row['row_id']}){change}"
