"""Our folds, GraphPart's and DataSAIL's of the same rows with the same pairs to keep apart.

usage: python -m benches.splits_side_by_side [--quick] [--others PYTHON]. $AB_ASSETS_MIRROR: folder of the real data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.judging import judge
from benches.problems import FOLDS, Problem, neutralisation, paratope, simulated
from benches.writing import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MIRROR = "AB_ASSETS_MIRROR"
SIMULATED, SIMULATED_QUICK = 20, 2
MOST_SECONDS = 900
TOOLS = {"ours": "our_folds.py", "GraphPart": "graphpart_folds.py", "DataSAIL": "datasail_folds.py"}
COLUMNS = ("set", "tool", "rows", "kept", "kept apart", "imbalance", "folds", "cross pairs", "seconds", "setting")


def main() -> None:
    """Print a table and write bench-splits.json here."""
    parser = argparse.ArgumentParser(prog="splits_side_by_side", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two simulated sets only")
    parser.add_argument("--others", type=Path, default=Path(".venv-bench/bin/python"), help="where the others live")
    parser.add_argument("--cache", type=Path, default=Path(".venv-bench/numbering.sqlite"), help="numbered sequences")
    options = parser.parse_args()
    if not options.others.is_file():
        parser.error(f"{options.others} is not there; `make bench` makes it")
    interpreter = dict.fromkeys(TOOLS, options.others) | {"ours": Path(sys.executable)}
    results: list[dict[str, Any]] = []
    for problem in _problems(options):
        for tool in TOOLS:
            results.append(_answered(problem, tool, interpreter[tool]))
            print(_line(results[-1]), file=sys.stderr)
    cold = _cold(simulated(1), interpreter["ours"])
    document = {"folds": FOLDS, "ours_cold_seconds": cold, "results": results}
    Path("bench-splits.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(aligned(COLUMNS, [_cells(result) for result in results]))
    print("\n".join(_summary(results)))
    print(f"ours from a fresh process with nothing compiled: {cold:.1f} s for the first simulated set")


def _problems(options: argparse.Namespace) -> Iterator[Problem]:
    mirror = os.environ.get(MIRROR, "")
    if options.quick:
        print(f"{SIMULATED_QUICK} simulated sets only", file=sys.stderr)
    elif not mirror:
        print(f"{MIRROR} is not set: simulated sets only", file=sys.stderr)
    else:
        yield paratope(Path(mirror))
        yield from neutralisation(Path(mirror), options.cache)
    for seed in range(1, 1 + (SIMULATED_QUICK if options.quick else SIMULATED)):
        yield simulated(seed)


def _answered(problem: Problem, tool: str, python: Path, *extra: str, **variables: str) -> dict[str, Any]:
    """Return what `tool` makes of `problem`: {"set", "tool", "seconds", "setting", **Verdict}, or "failed" with why."""
    named = {"set": problem.name, "tool": tool, "pairs": len(problem.left)}
    script = Path(__file__).parent / "competitors" / TOOLS[tool]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problem.write(folder)
        command = [str(python.absolute()), str(script), str(folder), str(FOLDS), *extra]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=MOST_SECONDS, env=os.environ | variables
            )
        except subprocess.TimeoutExpired:
            return named | {"failed": f"no answer within {MOST_SECONDS} s"}
        if done.returncode:
            return named | {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
        answer = json.loads((folder / "answer.json").read_text())
    verdict = judge(problem, np.array(answer["folds"], dtype=np.int64), FOLDS)
    return named | {"seconds": round(answer["seconds"], 3), "setting": answer["setting"], **verdict}


def _cold(problem: Problem, python: Path) -> float:
    """Return the seconds ours takes when numba has to compile."""
    with tempfile.TemporaryDirectory() as cache:
        return float(_answered(problem, "ours", python, "cold", NUMBA_CACHE_DIR=cache)["seconds"])


def _cells(result: Mapping[str, Any]) -> tuple[str, ...]:
    if "failed" in result:
        return (result["set"], result["tool"], "", "", "", "", "", "", "", result["failed"])
    return (
        result["set"],
        result["tool"],
        str(result["rows"]),
        f"{result['kept']} ({result['kept'] / result['rows']:.1%})",
        f"{result['apart']} ({result['apart'] / result['rows']:.1%})",
        f"{result['imbalance']:.3f}",
        f"{result['smallest']}-{result['largest']}",
        str(result["cross"]),
        f"{result['seconds']:.2f}",
        result["setting"],
    )


def _line(result: Mapping[str, Any]) -> str:
    return "  ".join(cell for cell in _cells(result) if cell)


def _summary(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield, for each other tool, on how many sets ours does no worse, and the sets where more rows stay apart."""
    ours = {result["set"]: result for result in results if result["tool"] == "ours"}
    for tool in [name for name in TOOLS if name != "ours"]:
        pairs = [(ours[item["set"]], item) for item in results if item["tool"] == tool and "failed" not in item]
        kept = sum(mine["apart"] >= other["apart"] for mine, other in pairs)
        balanced = sum(mine["imbalance"] <= other["imbalance"] for mine, other in pairs)
        faster = sum(mine["seconds"] < other["seconds"] for mine, other in pairs)
        total = f"of {len(pairs)} sets that {tool} divides"
        yield f"{total}: ours keeps as many rows apart on {kept}, is as balanced on {balanced}, faster on {faster}"
        for mine, other in pairs:
            if mine["apart"] < other["apart"]:
                yield f"  {other['set']}: {tool} {_at_sizes(other)}, ours {_at_sizes(mine)}"


def _at_sizes(result: Mapping[str, Any]) -> str:
    return f"{result['apart']} in folds of {result['smallest']}-{result['largest']}"


if __name__ == "__main__":
    main()
