"""Which column holds what: the names that benchmark.toml declares, and those that a format itself gives."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ab_assets.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

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

# Among the kept columns: all that are not read.
EVERY_OTHER = "*"
_TWICE = "Rename one of them."
# Names of columns are shorter than this; sequences are longer.
_LONGEST = 60


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


class _Everything:
    def __contains__(self, name: object) -> bool:
        return True


def readable_columns(benchmark: Benchmark) -> Container[str]:
    """Return every column name that may be read from a file of `benchmark`."""
    if EVERY_OTHER in benchmark.columns.keep:
        return _Everything()
    standard = STANDARD.get(benchmark.source.format, {}).values()
    names = {*declared_columns(benchmark).values(), *benchmark.columns.keep}
    return names | {name for alternatives in standard for name in alternatives}


def kept_columns(benchmark: Benchmark, header: Sequence[str]) -> list[str]:
    """Return the columns of `header` that [columns] keep names; "*" names all that nothing else reads."""
    read = set(columns_in(benchmark, header).values())
    every = EVERY_OTHER in benchmark.columns.keep
    return [name for name in header if name in benchmark.columns.keep or (every and name and name not in read)]


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
    """Return what is wrong with the header of `file`: declared columns that it lacks or has twice.

    Columns for which there is the same advice are one problem.
    """
    named = {f"{column!r} (columns.{field})": column for field, column in declared_columns(benchmark).items()}
    named |= {f"{column!r} (columns.keep)": column for column in benchmark.columns.keep if column != EVERY_OTHER}
    hints = {name: _hint_for(column, header) for name, column in named.items() if header.count(column) != 1}
    problems = []
    for hint in dict.fromkeys(hints.values()):
        names = [name for name, advice in hints.items() if advice == hint]
        is_are = ("column", "is") if len(names) == 1 else ("columns", "are")
        what = f"{is_are[0]} {', '.join(names)} {is_are[1]} {'there more than once' if hint == _TWICE else 'missing'}"
        problems.append(Problem(what=what, where=file, found=_shown(header), hint=hint))
    return problems


def nearest_hint(name: str, names: Sequence[str]) -> str:
    """Return "Did you mean ...?" with the nearest of `names`, or nothing when none is near."""
    spelled = {other.casefold(): other for other in reversed(names)}
    near = difflib.get_close_matches(name.casefold(), list(spelled), n=1, cutoff=0.6)
    if not near:
        within = [other for folded, other in spelled.items() if len(folded) > 1 and folded in name.casefold()]
        within += [other for folded, other in spelled.items() if name and name.casefold() in folded]
        return f"Did you mean {within[0]!r}?" if within else ""
    return f"Did you mean {spelled[near[0]]!r}?"


def not_of_the_format(benchmark: Benchmark, file: str, header: Sequence[str]) -> list[Problem]:
    """Return one Problem when `file` lacks columns without which no row of its format can be read."""
    layout = benchmark.source.format
    found = columns_in(benchmark, header)
    lacking = [
        " or ".join(repr(name) for field in fields for name in STANDARD[layout][field])
        for fields in _ESSENTIAL.get(layout, ())
        if not any(field in found for field in fields)
    ]
    if not lacking:
        return []
    return [
        Problem(
            what=f'this is no table of format "{layout}": columns are missing',
            where=file,
            found=_shown(header),
            expected=", and ".join(lacking),
            hint=_separator_hint(header) or f'Name them under [columns], or say another format than "{layout}".',
        )
    ]


def _shown(header: Sequence[str]) -> str:
    names = [repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...") for name in header[:12]]
    return ", ".join(names) + (", ..." if len(header) > 12 else "")


def _hint_for(column: str, header: Sequence[str]) -> str:
    if column in header:
        return _TWICE
    if next(iter(header), "").startswith("sep="):
        return "Remove the first line, which tells a spreadsheet the separator."
    if any(len(name) > _LONGEST for name in header) and not _separator_hint(header):
        return "The first line has to name the columns; it looks like a row."
    return (
        _separator_hint(header)
        or nearest_hint(column, header)
        or "Name an existing column in benchmark.toml, or leave the entry out."
    )


def _separator_hint(header: Sequence[str]) -> str:
    for sign, word in {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}.items():
        if len(header) == 1 and sign in header[0]:
            return f"The file is separated by {word}: a .csv file needs commas, a .tsv file tabs."
    return ""
