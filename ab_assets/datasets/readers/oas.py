"""Data units of the Observed Antibody Space (format `oas`): a line of metadata, then a table, paired or unpaired.

What the metadata line says (Subject, Disease, Vaccine, ...) holds for every row, as if it were a column of that name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ab_assets.datasets.readers.airr import antibodies_from_airr
from ab_assets.datasets.readers.antibodies import antibodies_from_table
from ab_assets.datasets.readers.source import SourceTable, combined, renumbered
from ab_assets.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ab_assets.benchmarks.schema import Benchmark

# How OAS spells that a study does not say something. "None" is a value, "no disease" or "no vaccine", but no donor.
_NOT_SAID = {"no", "undefined"}
_NO_DONOR = {*_NOT_SAID, "none"}


def metadata_of(record: Sequence[str], *, file: str) -> dict[str, str]:
    """Return what the first line of a data unit says; what the study does not say is an empty text.

    `record`: its fields, the JSON text in the first or, where it was not quoted, spread over all of them.
    Raises UnreadableFileError when that is no JSON object.
    """
    text = record[0] if len(record) == 1 else ",".join(record)
    try:
        said = json.loads(text)
    except json.JSONDecodeError as error:
        raise _no_metadata(text, file) from error
    if not isinstance(said, dict):
        raise _no_metadata(text, file)
    return {str(key): _value(str(key), str(value)) for key, value in said.items()}


def antibodies_from_oas(frames: Sequence[pl.DataFrame], benchmark: Benchmark) -> SourceTable:
    """Return the rows of paired units as antibodies, those of unpaired units as antibodies of one chain."""
    paired = [frame for frame in frames if "vh" in frame.columns]
    unpaired = [frame for frame in frames if "vh" not in frame.columns]
    parts = [antibodies_from_table(paired)] if paired else []
    parts += [antibodies_from_airr(unpaired, benchmark)] if unpaired else []
    if len(parts) == 1:
        return parts[0]
    first, known = renumbered(parts[0], after=0)
    return combined([first, renumbered(parts[1], after=known)[0]])


def _value(key: str, text: str) -> str:
    return "" if text.strip().lower() in (_NO_DONOR if key == "Subject" else _NOT_SAID) else text


def _no_metadata(text: str, file: str) -> UnreadableFileError:
    return UnreadableFileError(
        what="the first line is no metadata of an OAS data unit",
        where=f"{file}:1",
        found=repr(text[:40]),
        expected="a JSON object, then the header",
        hint='A table without that line is format = "airr" (one row per chain) or "table".',
    )
