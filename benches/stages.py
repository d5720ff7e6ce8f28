"""Time and memory of each stage from a table to a certified split, beside the same by hand, on two processors.

usage: python -m benches.stages [--rows N | --quick] [--skip STAGE ...] [--others PYTHON]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.splits.mmseqs import mmseqs_binary
from benches.measured import Cost, measured, pinned
from benches.writing import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROCESSORS = 2
ROWS, ROWS_QUICK = 100_000, 5_000
# By hand there is no graph: clusters stand for it.
OURS = ("curate", "graph", "cluster", "split", "certify")
BY_HAND = ("curate", "cluster", "split", "certify")
APART = ("number",)


def main() -> None:
    """Print a table and write bench-stages.json here."""
    parser = argparse.ArgumentParser(prog="stages", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--quick", action="store_true", help=f"{ROWS_QUICK} rows")
    parser.add_argument("--skip", nargs="*", default=[], choices=["certify", *APART], help="stages to leave out")
    parser.add_argument("--others", type=Path, default=Path(".venv-bench/bin/python"), help="where the others live")
    options = parser.parse_args()
    if not options.others.is_file():
        parser.error(f"{options.others} is not there; `make bench` makes it")
    rows = ROWS_QUICK if options.quick else options.rows
    processors = pinned(PROCESSORS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, by_hand, over = _run(folder, rows, options)
    document = {
        "rows": rows,
        "processors": len(processors) or "not pinned",
        "ours": {stage: cost._asdict() for stage, cost in ours.items()},
        "by_hand": {stage: cost._asdict() for stage, cost in by_hand.items()},
        "held_out_rows_over_a_bound": over,
    }
    Path("bench-stages.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{rows} pairs, {PROCESSORS} processors; each stage a process of its own, loading included")
    print(aligned(("stage", "ours", "", "by hand", ""), [*_table(ours, by_hand)]))
    for way, count in over.items():
        print(f"test and validation rows at or above a bound to a training row, {way}: {count}")


def _run(
    folder: Path, rows: int, options: argparse.Namespace
) -> tuple[dict[str, Cost], dict[str, Cost], dict[str, str]]:
    """Return what each stage cost, ours and by hand in turn, and how many held-out rows reach a bound."""
    log, mmseqs = folder / "log", str(mmseqs_binary())
    mine = [sys.executable, "-m", "benches.our_stages"]
    theirs = [str(options.others.absolute()), str(Path(__file__).parent / "competitors" / "by_hand.py")]
    measured([*mine, "data", str(folder), str(rows)], log=log)
    ours: dict[str, Cost] = {}
    by_hand: dict[str, Cost] = {}
    for stage in (*OURS, *APART):
        if stage in options.skip:
            continue
        ours[stage] = measured([*mine, stage, str(folder)], log=log)
        _say("ours", stage, ours[stage], log)
        if stage in BY_HAND:
            by_hand[stage] = measured([*theirs, stage, str(folder), mmseqs], log=log)
            _say("by hand", stage, by_hand[stage], log)
    over: dict[str, str] = {}
    if "certify" not in options.skip:
        measured([*mine, "certify-by-hand", str(folder)], log=log)
        over = {"ours": (folder / "over.txt").read_text(), "by hand": (folder / "over-by-hand.txt").read_text()}
    return ours, by_hand, over


def _say(way: str, stage: str, cost: Cost, log: Path) -> None:
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    print(f"{way}: {stage} {cost.seconds:.1f} s, {cost.mebibytes:.0f} MiB. {said[-300:]}", file=sys.stderr)


def _table(ours: Mapping[str, Cost], by_hand: Mapping[str, Cost]) -> Iterator[tuple[str, ...]]:
    staged = {stage: cost for stage, cost in ours.items() if stage not in APART}
    for stage, cost in staged.items():
        yield (stage, *_cells(cost), *_cells(by_hand.get(stage)))
    yield ("together", *_cells(_together(staged)), *_cells(_together(by_hand)))
    for stage in APART:
        if stage in ours:
            yield (f"{stage} 1,000 sequences, apart", *_cells(ours[stage]), "", "")


def _together(costs: Mapping[str, Cost]) -> Cost | None:
    if not costs:
        return None
    return Cost(sum(cost.seconds for cost in costs.values()), max(cost.mebibytes for cost in costs.values()))


def _cells(cost: Cost | None) -> tuple[str, str]:
    return ("-", "") if cost is None else (f"{cost.seconds:.1f} s", f"{cost.mebibytes:.0f} MiB")


if __name__ == "__main__":
    main()
