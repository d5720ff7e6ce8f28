"""Whatever stands in a file, no reader crashes, no row is lost, and every rejected row is named."""

from __future__ import annotations

import csv
import io
import json
import random
import re

import airr
import polars as pl
import pytest
from Bio.SeqIO.FastaIO import SimpleFastaParser

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.datasets.curation import curate
from ab_assets.datasets.readers import chunks_as_far_as_possible, read_chunks
from ab_assets.datasets.simulation.demo import simulate_specificity

ROWS = 10_000
MANY = 100_000
SEED = 20261121

SIGNS = "ACDEFGHIKLMNPQRSTVWYXBZJUO*-.acg 0189_;|,'\"\n\t\\/\N{GREEK SMALL LETTER ALPHA}\N{LATIN SMALL LETTER LONG S}\0"
CELLS = (
    "",
    " ",
    "-",
    "*",
    "ND",
    "NA",
    "nan",
    "None",
    "1",
    "0",
    "1.0",
    "yes",
    "true",
    "[]",
    "['1', '2']",
    "ACGT" * 20,
    "A" * 400,
)


def simulated(count: int) -> list[dict[str, str]]:
    found = simulate_specificity(seed=SEED, antibodies=200).to_dicts()
    return [found[index % len(found)] | {"id": f"s{index}"} for index in range(count)]


def table_rows(one):
    return [
        {
            "id": one["id"],
            "heavy": one["heavy"],
            "light": one["light"],
            "imgt": one["heavy_imgt"],
            "binds": one["binds"],
        }
    ]


def chain_rows(one):
    flags = "".join("01"[index % 9 == 0] for index in range(len(one["heavy"])))
    return [{"entry": one["id"], "chain": "H", "sequence": one["heavy"], "imgt": one["heavy_imgt"], "paratope": flags}]


def airr_rows(one):
    shared = {"cell_id": one["id"], "binds": one["binds"], "productive": "T", "v_call": "", "junction_aa": ""}
    heavy = {"sequence_id": f"{one['id']}h", "locus": "IGH", "sequence_alignment_aa": one["heavy"]}
    return [shared | heavy, shared | {"sequence_id": one["id"], "locus": "IGK", "sequence_alignment_aa": one["light"]}]


def oas_rows(one):
    heavy = {"sequence_id_heavy": one["id"], "sequence_alignment_aa_heavy": one["heavy"], "cdr3_aa_heavy": ""}
    return [heavy | {"sequence_alignment_aa_light": one["light"], "binds": one["binds"]}]


def cov_abdab_rows(one):
    evidence = {"Binds to": "X;Y (weak)", "Doesn't Bind to": ""}
    if one["binds"] == "no":
        evidence = {"Binds to": "Y", "Doesn't Bind to": "X"}
    rest = {"Neutralising Vs": "", "Not Neutralising Vs": "", "Heavy V Gene": "IGHV1-2 (Human)", "Heavy J Gene": "ND"}
    return [{"Name": one["id"], "VHorVHH": one["heavy"], "VL": one["light"], "CDRH3": "ND"} | evidence | rest]


SPECIFICITY = {"task": "antigen-specificity", "chains": "HL"}
LABEL = {"label": "binds", "positive": ["yes"], "negative": ["no"]}
# format: the rows that one antibody gives, what benchmark.toml says, the sign between fields
FORMATS = {
    "table": (
        table_rows,
        SPECIFICITY | {"columns": {"sequence_id": "id", "vh": "heavy", "vl": "light", "vh_positions": "imgt"} | LABEL},
        ",",
    ),
    "sabdab": (
        chain_rows,
        {"task": "paratope"}
        | {"columns": {"positions": "imgt"} | {name: name for name in ("entry", "chain", "sequence", "paratope")}},
        ",",
    ),
    "airr": (airr_rows, SPECIFICITY | {"columns": LABEL}, "\t"),
    "oas": (oas_rows, SPECIFICITY | {"columns": LABEL}, ","),
    "cov-abdab": (cov_abdab_rows, SPECIFICITY, ","),
}
ALL = [*FORMATS, "fasta"]


def mutated(cell: str, rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(CELLS)
    signs = list(cell)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(signs) + 1)
        change = rng.random()
        if change < 0.4 or not signs:
            signs.insert(place, rng.choice(SIGNS))
        elif change < 0.8:
            signs[place - 1] = rng.choice(SIGNS)
        else:
            del signs[place - 1 : place + rng.randint(0, 30)]
    return "".join(signs)


def benchmark_of(layout: str) -> Benchmark:
    if layout == "fasta":
        source = {"format": "fasta", "files": ["a.fasta", "side.csv"]}
        return Benchmark.model_validate(
            {"name": "b", "source": source, "columns": {"sequence_id": "id"} | LABEL} | SPECIFICITY
        )
    _, content, separator = FORMATS[layout]
    source = {"format": layout, "files": ["a.tsv" if separator == "\t" else "a.csv"]}
    source |= {"antigen": "X"} if layout == "cov-abdab" else {}
    return Benchmark.model_validate({"name": "b", "source": source} | content)


def write(layout: str, folder, antibodies, rng: random.Random, *, share: float) -> int:
    """Write the antibodies with `share` of the rows mutated in one or two cells; return how many rows there are."""
    if layout == "fasta":
        records = [
            (f">{one['id']}_{kind}", one[name]) for one in antibodies for kind, name in (("H", "heavy"), ("L", "light"))
        ]
        lines = [
            (header, mutated(sequence, rng).replace("\n", "").replace(">", ""))
            if rng.random() < share
            else (header, sequence)
            for header, sequence in records
        ]
        (folder / "a.fasta").write_text("".join(f"{header}\n{sequence}\n" for header, sequence in lines))
        side = [{"id": one["id"], "binds": one["binds"]} for one in antibodies]
        write_table(folder / "side.csv", side, ",", "")
        return len(records)
    make, _, separator = FORMATS[layout]
    rows = [row for one in antibodies for row in make(one)]
    for row in rows:
        if rng.random() < share:
            for name in rng.sample(list(row), rng.randint(1, 2)):
                row[name] = mutated(row[name], rng)
    first = '"' + json.dumps({"Subject": "D1"}).replace('"', '""') + '"\n' if layout == "oas" else ""
    write_table(folder / benchmark_of(layout).source.files[0], rows, separator, first)
    return len(rows)


def write_table(path, rows, separator: str, first: str) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes((first + text.getvalue()).encode())


def accounted_for(layout, folder, rows: int) -> None:
    benchmark = benchmark_of(layout)
    curation = curate(read_chunks(benchmark, folder), benchmark, numbering=None)
    counts = curation.counts
    assert counts["source_rows"] == rows
    assert counts["kept_source_rows"] + sum(counts["rejected"].values()) == rows
    sources = curation.rows["sources"].explode().drop_nulls().to_list()
    named = [f"{file}:{row}" for file, row in curation.rejected.select("file", "row").iter_rows()]
    assert len({*sources, *named}) == len(sources) + len(named) == rows
    assert curation.rejected.select(pl.col("reason", "detail").is_null().any()).row(0) == (False, False)


@pytest.mark.parametrize("layout", ALL)
def test_valid_rows_are_all_kept(tmp_path, layout):
    rows = write(layout, tmp_path, simulated(200), random.Random(SEED), share=0)
    curation = curate(read_chunks(benchmark_of(layout), tmp_path), benchmark_of(layout), numbering=None)
    assert curation.counts["kept_source_rows"] == rows


@pytest.mark.parametrize("layout", ALL)
def test_no_mutated_row_is_lost(tmp_path, layout):
    rng = random.Random(SEED)
    accounted_for(layout, tmp_path, write(layout, tmp_path, simulated(ROWS), rng, share=0.7))


@pytest.mark.long
@pytest.mark.parametrize("layout", ALL)
def test_no_mutated_row_of_many_is_lost(tmp_path, layout):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    accounted_for(layout, tmp_path, write(layout, tmp_path, simulated(MANY), random.Random(seed), share=0.7))


def records_of_fasta(folder):
    """What Biopython reads: for each record its chain, its sequence, and no label of its own."""
    with (folder / "a.fasta").open(encoding="utf-8") as stream:
        return [
            ("vl" if title.endswith("_L") else "vh", sequence, None) for title, sequence in SimpleFastaParser(stream)
        ]


def records_of_airr(folder):
    """What the airr package reads: for each rearrangement its chain, its amino acids and its label."""
    with (folder / "a.tsv").open(encoding="utf-8", newline="") as stream:
        return [
            (
                "vh" if re.match(r"(?i)IGH|(v?h|heavy)$", row["locus"].strip()) else "vl",
                row["sequence_alignment_aa"],
                row["binds"],
            )
            for row in airr.io.RearrangementReader(stream)
        ]


PARSERS = {"fasta": records_of_fasta, "airr": records_of_airr}


def agrees_with_another_parser(layout, folder) -> None:
    benchmark = benchmark_of(layout)
    records = PARSERS[layout](folder)
    curation = curate(read_chunks(benchmark, folder), benchmark, numbering=None)
    assert curation.counts["source_rows"] == len(records)
    seen = 0
    for antibody in curation.rows.iter_rows(named=True):
        said = [records[int(source.rpartition(":")[2]) - 1] for source in antibody["sources"]]
        for chain, sequence, _ in said:
            assert re.sub(r"[\s.-]", "", sequence).rstrip("*").upper() == (antibody[chain] or "")
        labels = {label.strip() == "yes" for _, _, label in said if label and label.strip() in ("yes", "no")}
        assert layout == "fasta" or labels <= {antibody["label"]}
        seen += len(said)
    assert seen == curation.counts["kept_source_rows"] > 0


@pytest.mark.parametrize("share", [0, 0.7])
@pytest.mark.parametrize("layout", PARSERS)
def test_kept_rows_are_what_another_parser_reads(tmp_path, layout, share):
    write(layout, tmp_path, simulated(ROWS), random.Random(SEED), share=share)
    agrees_with_another_parser(layout, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("layout", PARSERS)
def test_many_kept_rows_are_what_another_parser_reads(tmp_path, layout):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    write(layout, tmp_path, simulated(MANY), random.Random(seed), share=0.7)
    agrees_with_another_parser(layout, tmp_path)


@pytest.mark.parametrize("layout", ALL)
def test_a_damaged_file_is_read_or_refused_but_never_a_crash(tmp_path, layout):
    rng = random.Random(SEED)
    write(layout, tmp_path, simulated(20), rng, share=0)
    benchmark = benchmark_of(layout)
    file = tmp_path / benchmark.source.files[0]
    whole = file.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(len(damaged))
            if rng.random() < 0.2:
                del damaged[place : place + rng.randint(1, 200)]
            else:
                damaged[place] = rng.randrange(256)
        file.write_bytes(damaged)
        problems = []
        curation = curate(chunks_as_far_as_possible(benchmark, tmp_path, problems), benchmark, numbering=None)
        counts = curation.counts
        assert counts["source_rows"] == counts["kept_source_rows"] + sum(counts["rejected"].values())
