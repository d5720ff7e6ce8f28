"""Whether curated antibodies can answer the benchmark's question: chains, labels of both classes, dates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.datasets.explanations import flaws
from ab_assets.datasets.readers.layouts import STANDARD, column_of, column_of_chain
from ab_assets.errors import Problem
from ab_assets.tables import DATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.datasets.curation import Curation

_CHAINS = {"vh": "heavy", "vl": "light"}
# What follows the third CDR, in one-letter code: W118 G119 X G121 of heavy chains, F118 G119 X G121 of light ones
# (Lefranc et al. 2003, Dev. Comp. Immunol. 27:55-77).
_J_MOTIF = {"vh": "WG.G[TS]", "vl": "FG.G[TS]"}
_SAMPLE = 10_000


def usability_problems(curation: Curation, benchmark: Benchmark) -> list[Problem]:
    """Return why the antibodies of `curation` are not enough or not what benchmark.toml calls them."""
    return [
        *_too_few(curation, benchmark),
        *_swapped_chains(curation.antibodies, benchmark),
        *_dates(curation.antibodies, benchmark),
    ]


def _too_few(curation: Curation, benchmark: Benchmark) -> list[Problem]:
    where = ", ".join(benchmark.source.files)
    if not curation.counts["rows"]:
        if not curation.counts["source_rows"]:
            return [Problem(what="there is a header but no row below it", where=where)]
        found = f"{curation.counts['source_rows']} rows, all rejected"
        return [Problem(what="no antibody is left", where=where, found=found), *flaws(curation.rejected)]
    needed = ("part", "label", "vh_paratope", "vl_paratope", _is_seen(benchmark))
    rows = curation.antibodies.select(*needed).collect(engine="streaming")
    usable = rows.filter("seen")
    if usable.is_empty():
        return [_without_chains(rows.height, benchmark, where), *flaws(curation.rejected)]
    parts = ["train", "test"] if benchmark.split.policy == "published" else []
    problems = [] if parts else _without_class(usable, benchmark, where)
    for part in parts:
        of_part = usable.filter(pl.col("part") == part)
        if of_part.is_empty():
            problems.append(_without_part(part, benchmark, where))
        else:
            problems += _without_class(of_part, benchmark, f"{part} part")
    return [*problems, *flaws(curation.rejected)] if problems else []


def _is_seen(benchmark: Benchmark) -> pl.Expr:
    present = [pl.col(chain).is_not_null() for chain in benchmark.chain_names]
    seen = pl.any_horizontal(present) if benchmark.task == "paratope" else pl.all_horizontal(present)
    return seen.alias("seen")


def _without_chains(count: int, benchmark: Benchmark, where: str) -> Problem:
    hints = {
        "fasta": "Records of one antibody need the same id with _H and _L at its end.",
        "airr": "Rows of one antibody need the same cell_id; the locus tells the chain.",
    }
    names = " and ".join(f"a {_CHAINS[chain]} chain" for chain in benchmark.chain_names)
    return Problem(
        what=f'no antibody has {names}, which chains = "{benchmark.chains}" asks for',
        where=where,
        found=_counted(count, "antibody"),
        hint=hints.get(benchmark.source.format, "") if benchmark.chains == "HL" else "",
    )


def _without_part(part: str, benchmark: Benchmark, where: str) -> Problem:
    column = benchmark.columns.part
    hint = f"Column {column!r} has to say {part!r}." if column else f"Name its file under [split.parts] {part}."
    return Problem(what=f"the {part} part has no antibodies", where=where, hint=hint)


def _without_class(rows: pl.DataFrame, benchmark: Benchmark, where: str) -> list[Problem]:
    if benchmark.task == "paratope":
        labels = pl.concat([rows[f"{chain}_paratope"].explode().drop_nulls() for chain in benchmark.chain_names])
        kind, names = "residue", {True: "residue of a paratope", False: "residue outside the paratope"}
        columns = sorted({column_of_chain(benchmark, f"{chain}_paratope") for chain in benchmark.chain_names})
    else:
        labels = rows["label"].drop_nulls()
        kind, names = "antibody", {True: "positive antibody", False: "negative antibody"}
        own = STANDARD["cov-abdab"]
        columns = [own[name][0] for name in ("binds", "does_not_bind")]
        if benchmark.source.evidence == "neutralisation":
            columns = [own[name][0] for name in ("neutralises", "does_not_neutralise")]
        if benchmark.source.format != "cov-abdab":
            columns = [column_of(benchmark, "label")]
    said = f"Labels come from {' and '.join(map(repr, columns))}{_declared(benchmark)}."
    if not len(labels):
        return [Problem(what=f"no {kind} has a label", where=where, found=_counted(rows.height, kind), hint=said)]
    return [
        Problem(what=f"there is no {name}", where=where, found=_counted(len(labels), names[not member]), hint=said)
        for member, name in names.items()
        if not (labels == member).any()
    ]


def _counted(count: int, name: str) -> str:
    many = name.replace("antibody", "antibodies").replace("residue", "residues")
    return f"{count} {name if count == 1 else many}"


def _declared(benchmark: Benchmark) -> str:
    positive, negative = benchmark.columns.positive, benchmark.columns.negative
    if benchmark.task == "paratope" or benchmark.source.format == "cov-abdab":
        return ""
    return f"; positive: {', '.join(positive)}; negative: {', '.join(negative) or 'every other value'}"


def _swapped_chains(antibodies: pl.LazyFrame, benchmark: Benchmark) -> Iterator[Problem]:
    """Say when most of a column's chains are of the other kind, which numbering would reject one by one.

    Antibodies are in the order of their digests, so that the first of them are a sample.
    """
    other = {"vh": "vl", "vl": "vh"}
    looks = [
        (pl.col(chain).str.contains(_J_MOTIF[other[chain]]) & ~pl.col(chain).str.contains(_J_MOTIF[chain]))
        .sum()
        .alias(chain)
        for chain in _CHAINS
    ]
    given = [pl.col(chain).count().alias(f"{chain}_given") for chain in _CHAINS]
    counts = antibodies.head(_SAMPLE).select(*looks, *given).collect().row(0, named=True)
    motif = {chain: text[:4].replace(".", "x") for chain, text in _J_MOTIF.items()}
    for chain in benchmark.chain_names:
        name = _CHAINS[chain]
        if counts[chain] * 2 > counts[f"{chain}_given"]:
            place, hint = _telling_chains(benchmark, chain)
            yield Problem(
                what=f"{place} seem to be {_CHAINS[other[chain]]} chains",
                where=", ".join(benchmark.source.files),
                found=f"{counts[chain]} of {counts[f'{chain}_given']} sequences with {motif[other[chain]]}",
                expected=f"{name} chains, which have {motif[chain]} after the third CDR",
                hint=hint,
            )


def _telling_chains(benchmark: Benchmark, chain: str) -> tuple[str, str]:
    """Return what is called `chain`, and where a person looks when it is not."""
    name = _CHAINS[chain]
    if benchmark.source.format == "fasta":
        return (
            f"records taken for {name} chains",
            "Their ids end in _H or _L; without either, a record is a heavy chain.",
        )
    if benchmark.source.format in ("sabdab", "airr"):
        column = column_of(benchmark, "chain")
        return (
            f"chains that column {column!r} calls {name}",
            "Correct that column, or name another one under [columns].",
        )
    column = column_of_chain(benchmark, chain)
    return f"sequences in column {column!r}", "Look whether vh and vl are exchanged under [columns]."


def _dates(antibodies: pl.LazyFrame, benchmark: Benchmark) -> Iterator[Problem]:
    if benchmark.split.policy != "time":
        return
    column = column_of(benchmark, "date")
    without = ~pl.col("date").str.contains(DATE).fill_null(value=False)
    labels = [f"{chain}_paratope" for chain in benchmark.chain_names] if benchmark.task == "paratope" else ["label"]
    used = pl.any_horizontal(pl.col(name).is_not_null() for name in labels)
    if benchmark.split.test_files:  # their rows are tested whatever their date
        used &= pl.col("part").ne_missing("test")
    odd = antibodies.filter(_is_seen(benchmark), used, without).select(pl.col("sources").list.first(), "date")
    rows = odd.collect(engine="streaming")
    if rows.height:
        source, date = rows.row(0)
        yield Problem(
            what=f"column {column!r}: dates cannot be put in order ({_counted(rows.height, 'antibody')})",
            where=source,
            found="an empty cell" if date is None else repr(date),
            expected="YYYY-MM-DD, YYYY-MM or YYYY",
            hint='Correct them, or choose another policy than "time".',
        )
