"""IMGT positions for sequences that come without: one result per sequence, failures named, none computed twice."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

from ab_assets.errors import CorruptArtifactError
from ab_assets.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_BATCH = 32
_BETWEEN_SAVES = 16 * _BATCH
_LOCUS_OF_CHAIN = {"H": "heavy", "K": "light", "L": "light"}


@dataclass(frozen=True, slots=True)
class NumberingResult:
    """What is known about one sequence.

    positions: one entry per residue, None for residues outside the V domain; empty when numbering failed.
    locus: "heavy" | "light", None when numbering failed. failure: why it failed, in the words of the tool.
    """

    positions: tuple[str | None, ...] = ()
    locus: str | None = None
    failure: str | None = None

    def reason_against(self, chain: str) -> str | None:
        """Return why this is no `chain` ("vh" | "vl"): "not-numbered", "light-chain-in-vh" or "heavy-chain-in-vl"."""
        if self.locus is None:
            return "not-numbered"
        if (self.locus == "heavy") == (chain == "vh"):
            return None
        return f"{self.locus}-chain-in-{chain}"


class Numbering(Protocol):
    """Anything that assigns IMGT positions to amino-acid sequences."""

    def number(self, sequences: Sequence[str], *, progress: Progress = silent) -> dict[str, NumberingResult]:
        """Return one result for each distinct sequence."""
        ...


@dataclass(frozen=True, slots=True)
class AnarciiNumbering:
    """Numbering by ANARCII's antibody model (Greenshields-Watson et al. 2025) in its fast mode, on the CPU.

    cache: SQLite file, made when missing; results are found again by tool, version, mode and sequence. threads: None
    takes all processors of this process; the number becomes torch's for the process. A sequence's result does not
    depend on what it is numbered together with.
    """

    cache: Path
    threads: int | None = None

    @property
    def tool(self) -> str:
        """Name, version and mode: what a stored result depends on."""
        return f"anarcii {version('anarcii')} antibody speed"

    def number(self, sequences: Sequence[str], *, progress: Progress = silent) -> dict[str, NumberingResult]:
        """Return one result for each distinct sequence of amino acids (upper case, X allowed, at most 200 residues).

        Raises CorruptArtifactError when the cache is no database of results.
        """
        wanted = list(dict.fromkeys(sequences))
        try:
            with closing(self._connect()) as connection:
                results = _stored(connection, self.tool, wanted)
                # Similar lengths share a batch, so that little of it is padding.
                missing = sorted(
                    (sequence for sequence in wanted if sequence not in results), key=lambda s: (len(s), s)
                )
                model = self._model() if missing else None
                done = len(wanted) - len(missing)
                for start in range(0, len(missing), _BETWEEN_SAVES):
                    progress("numbering", done + start, len(wanted))
                    fresh = _numbered(model, missing[start : start + _BETWEEN_SAVES])
                    _store(connection, self.tool, fresh)
                    results |= fresh
        except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
            raise CorruptArtifactError(
                what=f"the cache of numbered sequences cannot be used: {error}",
                where=str(self.cache),
                hint="If another run holds it, wait for that; otherwise delete this file: it will be made again.",
            ) from error
        progress("numbering", len(wanted), len(wanted))
        return {sequence: results[sequence] for sequence in wanted}

    def _connect(self) -> sqlite3.Connection:
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.cache, timeout=60)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS numbering"
            " (tool TEXT, sequence_sha256 TEXT, locus TEXT, positions TEXT, failure TEXT,"
            " PRIMARY KEY (tool, sequence_sha256)) WITHOUT ROWID"
        )
        return connection

    def _model(self) -> Any:  # noqa: ANN401 - anarcii carries no types
        from anarcii import Anarcii  # noqa: PLC0415 - loads torch

        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = min(self.threads or processors, processors)
        return Anarcii(seq_type="antibody", mode="speed", batch_size=_BATCH, cpu=True, ncpu=threads, verbose=False)


def _numbered(model: Any, sequences: Sequence[str]) -> dict[str, NumberingResult]:  # noqa: ANN401
    output = model.number({sequence: sequence for sequence in sequences})
    return {sequence: result_from_anarcii(sequence, output[sequence]) for sequence in sequences}


def result_from_anarcii(sequence: str, output: Mapping[str, Any]) -> NumberingResult:
    """Return ANARCII's answer for `sequence` with one position per residue.

    output: "numbering" is [((111, "A"), "G"), ...] with "-" for positions without residue, or None; "query_start" is
    the first numbered residue, from 0; "error" says why there is none.
    """
    if output["numbering"] is None:
        return NumberingResult(failure=str(output["error"] or "no V domain found"))
    occupied = [
        (f"{number}{letter.strip()}", residue) for (number, letter), residue in output["numbering"] if residue != "-"
    ]
    start = int(output["query_start"])
    if "".join(residue for _, residue in occupied) != sequence[start : start + len(occupied)]:
        return NumberingResult(failure="the numbered residues are not those of the sequence")
    after = len(sequence) - start - len(occupied)
    positions = (*[None] * start, *(position for position, _ in occupied), *[None] * after)
    locus = _LOCUS_OF_CHAIN.get(output["chain_type"])
    if locus is None:
        return NumberingResult(failure=f"the chain type is {output['chain_type']!r}, not H, K or L")
    return NumberingResult(positions=positions, locus=locus)


def _digest(sequence: str) -> str:
    return hashlib.sha256(sequence.encode()).hexdigest()


def _stored(connection: sqlite3.Connection, tool: str, sequences: Sequence[str]) -> dict[str, NumberingResult]:
    query = "SELECT locus, positions, failure FROM numbering WHERE tool = ? AND sequence_sha256 = ?"
    found = {}
    for sequence in sequences:
        row = connection.execute(query, (tool, _digest(sequence))).fetchone()
        if row is not None:
            locus, positions, failure = row
            found[sequence] = NumberingResult(tuple(json.loads(positions)), locus, failure)
    return found


def _store(connection: sqlite3.Connection, tool: str, results: Mapping[str, NumberingResult]) -> None:
    rows = [
        (tool, _digest(sequence), result.locus, json.dumps(result.positions), result.failure)
        for sequence, result in results.items()
    ]
    with connection:
        connection.executemany("INSERT OR REPLACE INTO numbering VALUES (?, ?, ?, ?, ?)", rows)
