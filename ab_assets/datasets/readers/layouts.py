"""Which column holds what: the names that benchmark.toml declares, and those that a format itself gives."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ab_assets.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ab_assets.benchmarks.schema import Benchmark

_ABOUT = ("sequence_id", "cdrh3", "label", "subject_id", "entry", "part", "date", "v_call", "j_call")
_ANTIBODY = ("vh", "vl", "vh_positions", "vl_positions")
_CHAIN = ("chain", "sequence", "positions", "paratope")

# Which entries of [columns] each format reads.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "table": (*_ABOUT, *_ANTIBODY),
    "sabdab": (*_ABOUT, *_CHAIN),
    "fasta": _ABOUT,
    "airr": (*_ABOUT, *_CHAIN, "cell"),
    "oas": (*_ABOUT, *_ANTIBODY, "chain", "sequence"),
    "cov-abdab": ("sequence_id", "cdrh3", "subject_id", "date", "v_call", "j_call", "vh", "vl"),
}

# What a column is called by the format itself, the preferred name first; [columns] overrides it. Amino acids come from
# amino-acid columns only: `sequence` and `sequence_alignment` hold nucleotides in AIRR and OAS.
STANDARD: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # AIRR Rearrangement Schema 1.5 (docs.airr-community.org)
    "airr": {
        "sequence_id": ("sequence_id",),
        "chain": ("locus", "v_call"),
        "sequence": ("sequence_alignment_aa", "sequence_aa"),
        "cell": ("cell_id",),
        "sample": ("sample_id", "repertoire_id"),
        "productive": ("productive",),
        "cdrh3": ("junction_aa", "cdr3_aa"),
        "v_call": ("v_call",),
        "j_call": ("j_call",),
        "subject_id": ("subject_id",),
    },
    # Observed Antibody Space (Olsen et al. 2022, doi:10.1002/pro.4205), paired and unpaired data units
    "oas": {
        "sequence_id": ("sequence_id_heavy", "sequence_id"),
        "vh": ("sequence_alignment_aa_heavy",),
        "vl": ("sequence_alignment_aa_light",),
        "chain": ("locus", "v_call"),
        "sequence": ("sequence_alignment_aa",),
        "cdrh3": ("cdr3_aa_heavy", "cdr3_aa"),
        "v_call": ("v_call_heavy", "v_call"),
        "j_call": ("j_call_heavy", "j_call"),
        "subject_id": ("Subject",),
    },
    # CoV-AbDab (Raybould et al. 2021, doi:10.1093/bioinformatics/btaa739)
    "cov-abdab": {
        "sequence_id": ("Name",),
        "vh": ("VHorVHH", "VH or VHH"),
        "vl": ("VL",),
        "cdrh3": ("CDRH3",),
        "v_call": ("Heavy V Gene",),
        "j_call": ("Heavy J Gene",),
        "binds": ("Binds to",),
        "does_not_bind": ("Doesn't Bind to",),
        "neutralises": ("Neutralising Vs",),
        "does_not_neutralise": ("Not Neutralising Vs",),
    },
}

# Without one of these a file is not what its format says: fields of which one must be there.
_ESSENTIAL: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "airr": (("chain",), ("sequence",)),
    "oas": (("vh", "sequence"),),
    "cov-abdab": (("vh",), ("binds",), ("neutralises",)),
}


def columns_in(benchmark: Benchmark, header: Sequence[str]) -> dict[str, str]:
    """Return {field: column name} of what [columns] declares, and of the format's own columns that `header` has."""
    standard = STANDARD.get(benchmark.source.format, {})
    present = {field: next((name for name in names if name in header), None) for field, names in standard.items()}
    return {field: name for field, name in present.items() if name is not None} | declared_columns(benchmark)


def stands_alone(benchmark: Benchmark, fields: Sequence[str]) -> bool:
    """Tell whether a row with these fields is all that is said about its antibody, whatever other rows say."""
    layout = benchmark.source.format
    return layout in ("table", "oas") or (layout == "airr" and "cell" not in fields)


def declared_columns(benchmark: Benchmark) -> dict[str, str]:
    """Return {field: column name} of what [columns] declares and the benchmark's format reads."""
    found = {field: getattr(benchmark.columns, field) for field in FIELDS[benchmark.source.format]}
    return {field: column for field, column in found.items() if column is not None}


def readable_columns(benchmark: Benchmark) -> set[str]:
    """Return every column name that may be read from a file of `benchmark`."""
    standard = STANDARD.get(benchmark.source.format, {}).values()
    return {*declared_columns(benchmark).values(), *(name for names in standard for name in names)}


def column_of(benchmark: Benchmark, field: str) -> str:
    """Return the name under which the user knows `field`: the declared column, the format's own, or the field."""
    own = STANDARD.get(benchmark.source.format, {}).get(field, (field,))[0]
    return declared_columns(benchmark).get(field, own)


def column_of_chain(benchmark: Benchmark, field: str) -> str:
    """Return the user's column for `field`, one of vh, vl, *_positions and *_paratope, whatever the format calls it."""
    if "sequence" not in FIELDS[benchmark.source.format]:
        in_records = benchmark.source.format == "fasta"
        return field.partition("_")[2] or "sequence" if in_records else column_of(benchmark, field)
    return column_of(benchmark, field.partition("_")[2] or "sequence")


def missing_columns(benchmark: Benchmark, file: str, header: Sequence[str]) -> list[Problem]:
    """Return one Problem for each column that `file` lacks or has twice, naming the nearest one it has."""
    problems = []
    for field, column in declared_columns(benchmark).items():
        if header.count(column) == 1:
            continue
        twice = column in header
        problems.append(
            Problem(
                what=f"column {column!r} (columns.{field}) is {'there more than once' if twice else 'missing'}",
                where=file,
                found=_shown(header),
                hint="Rename one of them." if twice else _missing_hint(column, header),
            )
        )
    return [*problems, *_not_of_the_format(benchmark, file, header)]


def nearest_hint(name: str, names: Sequence[str]) -> str:
    """Return "Did you mean ...?" with the nearest of `names`, or nothing when none is near."""
    spelled = {other.casefold(): other for other in reversed(names)}
    near = difflib.get_close_matches(name.casefold(), list(spelled), n=1, cutoff=0.6)
    if not near:
        within = [other for folded, other in spelled.items() if folded and folded in name.casefold()]
        within += [other for folded, other in spelled.items() if name.casefold() in folded]
        return f"Did you mean {within[0]!r}?" if within else ""
    return f"Did you mean {spelled[near[0]]!r}?"


def _not_of_the_format(benchmark: Benchmark, file: str, header: Sequence[str]) -> list[Problem]:
    layout = benchmark.source.format
    found = columns_in(benchmark, header)
    return [
        Problem(
            what=f"this is no {layout} file: a column is missing",
            where=file,
            found=_shown(header),
            expected=" or ".join(repr(name) for field in fields for name in STANDARD[layout][field]),
            hint=f'Name it under [columns], or say another [source] format than "{layout}".',
        )
        for fields in _ESSENTIAL.get(layout, ())
        if not any(field in found for field in fields)
    ]


def _shown(header: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in header[:12]) + (", ..." if len(header) > 12 else "")


def _missing_hint(column: str, header: Sequence[str]) -> str:
    for sign in (";", "\t", ",", "|"):
        if len(header) == 1 and sign in header[0]:
            return f"The header holds {sign!r}: is the file separated by it? csv means ',', tsv means tab."
    return nearest_hint(column, header) or "Name an existing column in benchmark.toml, or leave the entry out."
