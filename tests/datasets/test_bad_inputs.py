"""Each common mistake in a benchmark folder, and what `ab-assets validate` has to say to the person who made it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zipfile
from typing import NamedTuple

import polars as pl
import pytest
from typer.testing import CliRunner

from ab_assets.cli import app

VH = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
    "SRWGGDGFYAMDYWGQGTLVTVSS"
)
VL = "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQGTKVEIK"
DNA = "GAGGTGCAGCTGGTGGAGTCTGGAGGAGGCTTGGTCCAGCCTGGGGGGTCCCTGAGACTCTCC"


class Case(NamedTuple):
    """A benchmark folder: what benchmark.toml says, and what lies beside it."""

    toml: str
    files: dict[str, str | bytes]


def table(header, *rows, separator=",", first=None):
    """Return the text of a table; `first` is the one cell of a line before the header."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerows(([[first]] if first else []) + [header.split(), *rows])
    return text.getvalue()


def toml(source='files = ["antibodies.csv"]', columns="", more="", *, task="antigen-specificity"):
    return f'task = "{task}"\nchains = "HL"\n[source]\n{source}\n[columns]\n{columns}\n{more}'


TABLE = 'sequence_id = "id"\nvh = "heavy"\nvl = "light"\nlabel = "binds"\npositive = ["yes"]\nnegative = ["no"]'
HEADER = "id heavy light binds"
GOOD = (["a1", VH, VL, "yes"], ["a2", VH[1:], VL, "no"], ["a3", VH, VL[:-1], "yes"])
CSV = table(HEADER, *GOOD)


def of_table(text, *, columns=TABLE, file="antibodies.csv", more=""):
    return Case(toml(f'files = ["{file}"]', columns, more), {file: text})


def of_toml(old, new, more=""):
    whole = toml(columns=TABLE, more=more)
    assert old in whole
    return Case(whole.replace(old, new), {"antibodies.csv": CSV})


CHAINS = 'entry = "pdb"\nchain = "chain"\nsequence = "sequence"\npositions = "imgt"\nparatope = "paratope"'


def of_chains(*rows, columns=CHAINS):
    source = 'files = ["chains.csv"]\nformat = "sabdab"'
    return Case(
        toml(source, columns, task="paratope"), {"chains.csv": table("pdb chain sequence imgt paratope", *rows)}
    )


FLAGS = "01" * 60
AIRR = 'label = "binds"\npositive = ["yes"]'
AIRR_HEADER = "sequence_id locus cell_id junction_aa sequence_alignment_aa binds"


def of_airr(*rows, header=AIRR_HEADER, separator="\t", columns=AIRR):
    text = table(header, *rows, separator=separator)
    return Case(toml('files = ["cells.tsv"]\nformat = "airr"', columns), {"cells.tsv": text})


OAS_HEADER = "sequence_id_heavy v_call_heavy cdr3_aa_heavy sequence_alignment_aa_heavy sequence_alignment_aa_light"
OAS_ROWS = (["h1", "IGHV1-2*02", "", VH, VL], ["h2", "IGHV1-2*02", "", VH[1:], VL])
ABOUT = json.dumps({"Subject": "D1", "Disease": "SARS-COV-2"})


def of_oas(*rows, header=OAS_HEADER, first=ABOUT, columns='label = "Disease"\npositive = ["SARS-COV-2"]'):
    return Case(toml('files = ["unit.csv"]\nformat = "oas"', columns), {"unit.csv": table(header, *rows, first=first)})


COV = 'files = ["cov.csv"]\nformat = "cov-abdab"\n'
COV_CSV = (
    "Name,Binds to,Doesn't Bind to,Neutralising Vs,Not Neutralising Vs,VHorVHH,VL,CDRH3\n"
    f"x1,SARS-CoV2_WT;SARS-CoV1,,,,{VH},{VL},ND\nx2,,SARS-CoV2_WT,,,{VH[1:]},{VL},ND\n"
)
FASTA = 'files = ["chains.fasta", "labels.csv"]\nformat = "fasta"'
FASTA_COLUMNS = 'sequence_id = "id"\nlabel = "binds"\npositive = ["yes"]'


SIDE = table("id binds", ["a", "yes"], ["b", "no"])


def of_fasta(*records, labels=SIDE, source=FASTA):
    text = "".join(f">{name}\n{sequence}\n" for name, sequence in records)
    return Case(toml(source, FASTA_COLUMNS), {"chains.fasta": text, "labels.csv": labels})


PAIRS = (("a_H", VH), ("a_L", VL), ("b_H", VH[1:]), ("b_L", VL))


def zipped(members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return data.getvalue()


def parquet(**columns):
    data = io.BytesIO()
    pl.DataFrame(columns).write_parquet(data)
    return data.getvalue()


ZIP = 'archive = "raw.zip"\nfiles = ["antibodies.csv"]'
PARTS = '[split]\npolicy = "published"\n'

CASES = {
    "misspelt column": (
        of_table(CSV, columns=TABLE.replace('"heavy"', '"hevy"')),
        ("antibodies.csv: column 'hevy' (columns.vh) is missing", "'light', 'binds'", "Did you mean 'heavy'?"),
    ),
    "two misspelt columns": (
        of_table(CSV, columns=TABLE.replace('"heavy"', '"hevy"').replace('"binds"', '"bind"')),
        ("Did you mean 'heavy'?", "Did you mean 'binds'?"),
    ),
    "column twice": (
        of_table(table("id heavy light light binds", *([*row[:3], VL, row[3]] for row in GOOD))),
        ("antibodies.csv: column 'light'", "more than once", "Rename one"),
    ),
    "empty file": (of_table(""), ("antibodies.csv: the file is empty", "expected a line that names the columns")),
    "header only": (of_table(table(HEADER)), ("antibodies.csv: there is a header but no row below it",)),
    "semicolons": (
        of_table(table(HEADER, *GOOD, separator=";")),
        ("antibodies.csv: columns 'id'", "separated by semicolons", "needs commas"),
    ),
    "no header": (of_table(table("a1", *GOOD)), ("columns 'id'", "are missing", "found 'a1'")),
    "no header at all": (
        of_table("\n".join(",".join(row) for row in GOOD)),
        ("are missing", "The first line has to name the columns; it looks like a row"),
    ),
    "undeclared labels": (
        of_table(table(HEADER, *GOOD, *([f"b{i}", VH, VL[:-2], "maybe"] for i in range(9)))),
        (
            "antibodies.csv:4: row 4 below the header, column 'binds'",
            "(and 8 more rows)",
            "found 'maybe', expected yes (positive) or no (negative)",
            "columns.positive",
        ),
    ),
    "many undeclared labels": (
        of_table(table(HEADER, *GOOD, *([f"b{i}", VH, VL[:-2], f"0.{i}"] for i in range(99)))),
        ("antibodies.csv:4: row 4", "94 more rows, with other values"),
    ),
    "one class": (
        of_table(table(HEADER, *GOOD[::2])),
        (
            "antibodies.csv: there is no negative antibody (found 2 positive antibodies)",
            "Labels come from 'binds'",
            "negative: no",
        ),
    ),
    "no label": (
        of_table(table(HEADER, *([*row[:3], ""] for row in GOOD))),
        ("antibodies.csv: no antibody has a label (found 3 antibodies)", "'binds'"),
    ),
    "light in the heavy column": (
        of_table(table(HEADER, *([one, vl, vh, label] for one, vh, vl, label in GOOD))),
        (
            "sequences in column 'heavy' seem to be light chains (found 3 of 3",
            "sequences in column 'light' seem to be heavy chains",
            "exchanged under [columns]",
        ),
    ),
    "light alone in the heavy column": (
        of_table(table(HEADER, *([one, vl, "", label] for one, vh, vl, label in GOOD))),
        ("sequences in column 'heavy' seem to be light chains", "exchanged"),
    ),
    "latin-1": (
        of_table((CSV + f"Zürich,{VH},{VL},no\n").encode("latin-1")),
        ("antibodies.csv: line 5: this is no UTF-8 text", "after 'Z'", "Save it as UTF-8"),
    ),
    "utf-16": (
        of_table(CSV.encode("utf-16")),
        ("antibodies.csv: this is no UTF-8 text but text in UTF-16", "Save it as UTF-8"),
    ),
    "ragged": (
        of_table(CSV + f"a4,{VH},{VL}\na5,{VH},{VL},no,x\n"),
        (
            "antibodies.csv:4: row 4 below the header has another number of cells than the header (and 1 more row)",
            "found 3 cells, expected 4",
            "quotation marks",
        ),
    ),
    "quotes": (
        of_table(CSV + f'a4,"{VH},{VL},no\n'),
        ("antibodies.csv:4: row 4 below the header: a quotation mark has no partner", "Add or remove one"),
    ),
    "nucleotides": (
        of_table(table(HEADER, *([*row[:1], DNA, *row[2:]] for row in GOOD))),
        (
            "antibodies.csv:1: row 1",
            "column 'heavy': this is no amino-acid sequence (and 2 more rows)",
            "translate them",
        ),
    ),
    "short": (
        of_table(table(HEADER, *([*row[:1], "CARDYW", "", row[3]] for row in GOOD))),
        (
            "antibodies.csv: no antibody is left (found 3 rows, all rejected)",
            "row 1 below the header, column 'heavy'",
            "found 6 residues, expected 50 to 200 residues",
            "vh_length",
        ),
    ),
    "three letters": (
        of_table(table(HEADER, *([*row[:1], "GluValGln1", "", row[3]] for row in GOOD))),
        (
            "no antibody is left",
            "row 1 below the header, column 'heavy': a sign is no amino acid",
            "found 'u'",
            "one letter for each residue",
        ),
    ),
    "spreadsheet": (
        of_table(zipped({"xl/workbook.xml": "x"}), file="antibodies.xlsx"),
        ("antibodies.xlsx: the file's name does not tell its format", "Export spreadsheets as CSV"),
    ),
    "renamed spreadsheet": (
        of_table(zipped({"xl/workbook.xml": "x"})),
        ("antibodies.csv:", "a spreadsheet (.xlsx)", "Export it from the spreadsheet as CSV"),
    ),
    "missing file": (
        Case(toml(columns=TABLE), {}),
        ("antibodies.csv: there is no such file", "Put it beside benchmark.toml"),
    ),
    "misspelt file": (
        Case(toml(columns=TABLE), {"antibodes.csv": CSV}),
        ("antibodies.csv: there is no such file", "Did you mean 'antibodes.csv'?"),
    ),
    "truncated gz": (
        of_table(gzip.compress(CSV.encode(), mtime=0)[:60], file="antibodies.csv.gz"),
        ("antibodies.csv.gz: the compressed file is truncated", "download it again"),
    ),
    "no gz": (
        of_table(CSV, file="antibodies.csv.gz"),
        ("antibodies.csv.gz: this is no gzip file", "drop .gz from its name"),
    ),
    "no parquet": (
        of_table(CSV, file="antibodies.parquet"),
        ("antibodies.parquet: this is no Parquet file", "download it again"),
    ),
    "parquet with structs": (
        of_table(parquet(id=["a"], heavy=[{"chain": VH}], light=[VL], binds=["yes"]), file="antibodies.parquet"),
        ("antibodies.parquet: column 'heavy' cannot be read as text", "expected text, numbers or lists"),
    ),
    "parquet without columns": (of_table(parquet(), file="antibodies.parquet"), ("antibodies.parquet: columns 'id'",)),
    "no such member": (
        Case(toml(ZIP, TABLE), {"raw.zip": zipped({"data/antibodies.csv": CSV})}),
        ("raw.zip: the archive has no file 'antibodies.csv'", "Did you mean 'data/antibodies.csv'?"),
    ),
    "member outside": (
        Case(toml(ZIP.replace('s.csv"', 's.csv", "../x.csv"'), TABLE), {"raw.zip": zipped({})}),
        ("benchmark.toml:5: source.files (2): '../x.csv' is no file of the benchmark's folder", "without '..'"),
    ),
    "truncated zip": (
        Case(toml(ZIP, TABLE), {"raw.zip": zipped({"antibodies.csv": CSV})[:80]}),
        ("raw.zip: this is no zip or tar archive", "download it again"),
    ),
    "missing zip": (Case(toml(ZIP, TABLE), {}), ("raw.zip: there is no such file",)),
    "dates": (
        of_table(
            table(
                HEADER + " date",
                *([*row, day] for row, day in zip(GOOD, ("2020-01-02", "Jan 2020", "2021"), strict=True)),
            ),
            columns=TABLE + '\ndate = "date"',
            more='[split]\npolicy = "time"',
        ),
        (
            "antibodies.csv:2: column 'date': dates cannot be put in order (1 antibody)",
            "found 'Jan 2020', expected YYYY-MM-DD",
        ),
    ),
    "parts": (
        of_table(
            table(
                HEADER + " set", *([*row, part] for row, part in zip(GOOD, ("train", "test", "held-out"), strict=True))
            ),
            columns=TABLE + '\npart = "set"',
            more=PARTS,
        ),
        (
            "antibodies.csv:3: row 3 below the header, column 'set'",
            "found 'held-out', expected train, validation or test",
        ),
    ),
    "empty part": (
        of_table(
            table(HEADER + " set", *([*row, "train"] for row in GOOD)), columns=TABLE + '\npart = "set"', more=PARTS
        ),
        ("the test part has no antibodies", "Column 'set' has to say 'test'"),
    ),
    "conflicts": (
        of_table(table(HEADER, *GOOD, ["a4", VH, VL, "no"]), more='[curation]\nconflicts = "error"'),
        (
            "antibodies.csv:1: row 1",
            "column 'binds': the same antibody has another label",
            "yes in antibodies.csv:1; no in antibodies.csv:4",
            'conflicts = "drop"',
        ),
    ),
    "long label list": (
        of_chains(["1abc", "H", VH, "", FLAGS + "0"]),
        (
            "chains.csv:1: row 1 below the header, column 'paratope'",
            "found 121 entries, expected 120, one for each residue",
        ),
    ),
    "many long label lists": (
        of_chains(*(["1abc", "H", VH, "", FLAGS[: 60 + i]] for i in range(50))),
        ("chains.csv:1: row 1", "45 more rows"),
    ),
    "unknown chain": (
        of_chains(["1abc", "A", VH, "", FLAGS], ["1abc", "B", VL, "", ""]),
        ("chains.csv:1: row 1 below the header, column 'chain'", "found 'A', expected heavy or light"),
    ),
    "separator line": (of_table("sep=,\n" + CSV), ("Remove the first line, which tells a spreadsheet the separator",)),
    "sabdab exchanged": (
        of_chains(["1abc", "L", VH, "", FLAGS], ["1abc", "H", VL, "", FLAGS[: len(VL)]]),
        ("chains that column 'chain' calls heavy seem to be light chains", "Correct that column"),
    ),
    "fasta light chains": (
        of_fasta(("a", VL), ("b", VL[:-1])),
        ("records taken for heavy chains seem to be light chains", "_H or _L"),
    ),
    "toml key twice": (
        of_toml('label = "binds"', 'vh = "h"'),
        ("benchmark.toml:9: this is not TOML: the key or table stands twice", "Leave one"),
    ),
    "toml table twice": (of_toml("", "", more="[source]"), ("benchmark.toml:12:", "stands twice")),
    "toml keep": (
        of_toml("", "", more="[columns.keep]\nx = 1"),
        ("benchmark.toml:12: columns.keep", "a list in square brackets"),
    ),
    "misspelt kept column": (
        of_table(CSV, columns=TABLE + '\nkeep = ["bind"]'),
        ("column 'bind' (columns.keep) is missing", "Did you mean 'binds'?"),
    ),
    "ambiguous letters": (
        of_table(table(HEADER, *([row[0], "B" + row[1], *row[2:]] for row in GOOD))),
        ("column 'heavy': a sign is no amino acid (and 2 more rows)", "found 'B'", 'ambiguous = "x"'),
    ),
    "cdrh3 elsewhere": (
        of_table(table(HEADER + " cdr", *([*row, "ARDY"] for row in GOOD)), columns=TABLE + '\ncdrh3 = "cdr"'),
        ("column 'cdr': the CDR-H3 is no part of the heavy chain", "found 'ARDY'", "junction in its name"),
    ),
    "undeclared chain": (
        of_chains(["1abc", "H", VH, "", FLAGS], columns=CHAINS.replace('chain = "chain"\n', "")),
        ("benchmark.toml:6: columns: columns.chain is not declared",),
    ),
    "positions": (
        of_chains(["1abc", "H", VH, " ".join(["200", *"1" * 119]), FLAGS]),
        (
            "chains.csv:1: row 1 below the header, column 'imgt'",
            "found '200', expected IMGT positions such as 27 or 111A",
        ),
    ),
    "descending positions": (
        of_chains(["1abc", "H", VH, " ".join(str(121 - i) for i in range(120)), FLAGS]),
        ("column 'imgt'", "must ascend"),
    ),
    "flags": (
        of_chains(["1abc", "H", VH, "", "yn" * 60]),
        ("chains.csv:1: row 1 below the header, column 'paratope'", "found 'y', expected 0 or 1"),
    ),
    "no paratope": (
        of_chains(["1abc", "H", VH, "", "0" * 120]),
        ("chains.csv: there is no residue of a paratope (found 120 residues outside the paratope)", "'paratope'"),
    ),
    "airr nucleotides": (
        of_airr(["s1", "IGH", "c1", "", DNA, "yes"], ["s2", "IGH", "c2", "", DNA, "no"]),
        (
            "cells.tsv:1: row 1",
            "column 'sequence_alignment_aa': this is no amino-acid sequence (and 1 more row)",
            "translate them",
        ),
    ),
    "airr without amino acids": (
        of_airr(["s1", "IGH", "c1", DNA, "yes"], header="sequence_id locus cell_id sequence binds"),
        ("cells.tsv:", "expected 'sequence_alignment_aa' or 'sequence_aa'", "Name them under [columns]"),
    ),
    "airr without locus": (
        of_airr(["s1", "c1", VH, "yes"], header="sequence_id cell_id sequence_alignment_aa binds"),
        ("cells.tsv:", "expected 'locus' or 'v_call'"),
    ),
    "airr with commas": (
        of_airr(["s1", "IGH", "c1", "", VH, "yes"], separator=","),
        ("cells.tsv:", "separated by commas", "a .tsv file tabs"),
    ),
    "airr of T cells": (
        of_airr(["s1", "TRB", "c1", "", VH, "yes"], ["s2", "TRB", "c2", "", VH[1:], "no"]),
        (
            "cells.tsv:1: row 1",
            "column 'locus': the chain is neither heavy nor light (and 1 more row)",
            "found 'TRB', expected the locus of an immunoglobulin",
        ),
    ),
    "airr of doublets": (
        of_airr(
            ["s1", "IGH", "c1", "", VH, "yes"],
            ["s2", "IGH", "c1", "", VH[1:], "yes"],
            ["s3", "IGK", "c1", "", VL, "no"],
        ),
        (
            "no antibody is left",
            "column 'cell_id': the cell has more than one chain of a kind (and 2 more rows)",
            "leave one of them",
        ),
    ),
    "airr without label": (
        of_airr(["s1", "IGH", "c1", "", VH, "yes"], columns=""),
        ("benchmark.toml:6: columns: columns.label is not declared",),
    ),
    "airr unpaired": (
        of_airr(["s1", "IGH", "", "", VH, "yes"], ["s2", "IGH", "", "", VH[1:], "no"]),
        ("cells.tsv: no antibody has a heavy chain and a light chain", "the same cell_id"),
    ),
    "oas without metadata": (
        of_oas(*OAS_ROWS, first=None),
        ("unit.csv:1: the first line is no metadata of an OAS data unit", "expected a JSON object, then the header"),
    ),
    "oas with other metadata": (
        of_oas(*OAS_ROWS, first="{'Subject': 'D1'}"),
        ("unit.csv:1:", "found \"{'Subject': 'D1'}\""),
    ),
    "oas without sequences": (
        of_oas(["h1"], header="sequence_id_heavy"),
        ("unit.csv:", "expected 'sequence_alignment_aa_heavy' or 'sequence_alignment_aa'"),
    ),
    "oas misspelt label": (
        of_oas(*OAS_ROWS, columns='label = "Disese"\npositive = ["SARS-COV-2"]'),
        ("unit.csv: column 'Disese' (columns.label) is missing", "Did you mean 'Disease'?"),
    ),
    "oas one class": (
        of_oas(*OAS_ROWS),
        ("unit.csv: there is no negative antibody (found 2 positive antibodies)", "'Disease'"),
    ),
    "cov-abdab antigen": (
        Case(toml(COV + 'antigen = "SARS-CoV2_Wuhan"'), {"cov.csv": COV_CSV}),
        (
            "benchmark.toml:6: source.antigen: no row names this antigen (found 'SARS-CoV2_Wuhan'",
            "one of SARS-CoV2_WT, SARS-CoV1",
            "Did you mean 'SARS-CoV2_WT'?",
        ),
    ),
    "cov-abdab no antigen": (
        Case(toml(COV), {"cov.csv": COV_CSV}),
        ("benchmark.toml:3: source.antigen: it does not say for which antigen", '"SARS-CoV2_WT"'),
    ),
    "cov-abdab other table": (
        Case(toml(COV + 'antigen = "SARS-CoV2_WT"'), {"cov.csv": CSV}),
        ('cov.csv: this is no table of format "cov-abdab"', "'Binds to'"),
    ),
    "fasta unpaired": (
        of_fasta(("a", VH), ("b", VH[1:]), ("aL", VL), ("bL", VL)),
        (
            "chains.fasta, labels.csv: no antibody has a heavy chain and a light chain",
            "found 3 antibodies",
            "_H and _L at its end",
        ),
    ),
    "fasta no labels": (
        of_fasta(*PAIRS, source='files = ["chains.fasta"]\nformat = "fasta"'),
        ("benchmark.toml:4: source.files: there is no side table with labels",),
    ),
    "fasta unknown ids": (
        of_fasta(*PAIRS, labels=table("id binds", ["x", "yes"], ["y", "no"])),
        (
            "no antibody has a label",
            "labels.csv:1: row 1 below the header, column 'id': there is no sequence (and 1 more row)",
            "found 'x'",
            "No FASTA record has this id",
        ),
    ),
    "fasta duplicate ids": (
        of_fasta(*PAIRS, labels=table("id binds", ["a", "yes"], ["b", "no"], ["a", "no"])),
        (
            "labels.csv:3: row 3 below the header, column 'id': the id is there twice (found 'a')",
            "Leave one row for each id",
        ),
    ),
    "fasta side without id": (
        of_fasta(*PAIRS, labels=table("name binds", ["a", "yes"], ["b", "no"])),
        ("labels.csv: column 'id' (columns.sequence_id) is missing (found 'name', 'binds')",),
    ),
    "fasta no fasta": (
        Case(toml(FASTA, FASTA_COLUMNS), {"chains.fasta": CSV, "labels.csv": table("id binds")}),
        ("chains.fasta: line 1: this is no FASTA file", "expected a line that starts with '>'"),
    ),
    "fasta empty": (
        Case(toml(FASTA, FASTA_COLUMNS), {"chains.fasta": "", "labels.csv": table("id binds")}),
        ("chains.fasta: the file is empty",),
    ),
    "toml unknown key": (
        of_toml('task = "', 'taks = "'),
        ("benchmark.toml:1: unknown key 'taks'. Did you mean 'task'?",),
    ),
    "toml unknown table": (
        of_toml("[columns]", "[colums]"),
        ("benchmark.toml:5: unknown key 'colums'. Did you mean 'columns'?",),
    ),
    "toml wrong type": (
        of_toml('"HL"', '1\ntitle = 3\nretired = "no"\nmodels = "antiberty"'),
        (
            "benchmark.toml:3: title cannot",
            "found 3, expected text in quotation marks",
            "benchmark.toml:2: chains",
            "'H', 'L' or 'HL'",
            "benchmark.toml:5: models",
            "a list in square brackets",
            "benchmark.toml:4: retired",
            "true or false, without quotation marks",
        ),
    ),
    "toml wrong lists": (
        of_toml('["yes"]', '"yes"', more="[curation]\nvh_length = [50]\nvl_length = [1, 2, 3]"),
        (
            "benchmark.toml:10: columns.positive",
            "benchmark.toml:13: curation.vh_length has too few entries (found [50])",
            "benchmark.toml:14: curation.vl_length",
            "a list of 2 entries",
        ),
    ),
    "toml wrong order": (
        of_toml("[columns]", "[columns]", more="[curation]\nvh_length = [200, 50]"),
        ("benchmark.toml:13: curation.vh_length: [200, 50] is no range",),
    ),
    "toml wrong file": (
        of_toml('"antibodies.csv"', "1"),
        ("benchmark.toml:4: source.files (1)", "text in quotation marks"),
    ),
    "toml no files": (
        of_toml('["antibodies.csv"]', "[]"),
        ("benchmark.toml:4: source.files", "a list with 1 or more entries"),
    ),
    "toml format": (
        of_toml("[columns]", 'format = "csv"\n[columns]'),
        ("benchmark.toml:5: source.format", "found 'csv', expected 'table', 'fasta'"),
    ),
    "toml task": (
        of_toml("antigen-specificity", "affinity"),
        ("benchmark.toml:1: task", "expected 'antigen-specificity' or 'paratope'"),
    ),
    "toml splits": (
        of_toml("", "", more='[split]\nfolds = 2\nfits = 30\nidentity = { vh = 90, cdrh3 = "0.8" }\nmax_removed = -1'),
        (
            "benchmark.toml:15: split.identity.vh",
            "found 90, expected at most 1",
            "benchmark.toml:13: split.folds",
            "found 2, expected at least 3",
            "found '0.8', expected a number, without quotation marks",
            "split.fits",
            "split.max_removed",
        ),
    ),
    "toml fits": (
        of_toml("", "", more="[split]\nfits = 5\nfolds = 4"),
        ("benchmark.toml:12: split: fits = 5 is more than folds = 4",),
    ),
    "toml random": (
        of_toml("", "", more='[split]\npolicy = "random"'),
        ('benchmark.toml:12: split: policy "random" cannot keep', 'certificate = "report"'),
    ),
    "toml published": (
        of_toml("", "", more='[split]\npolicy = "published"'),
        ("benchmark.toml:12: split: policy \"published\" does not say which part 'antibodies.csv' is", "split.parts"),
    ),
    "toml time": (
        of_toml("", "", more='[split]\npolicy = "time"'),
        ('benchmark.toml:12: split: policy "time" needs columns.date',),
    ),
    "toml group": (
        of_toml("", "", more='[split]\npolicy = "group"'),
        ('benchmark.toml:12: split: policy "group" needs columns.subject_id or columns.entry',),
    ),
    "toml seeds": (
        of_toml("", "", more="[split]\nseeds = [1, 1]\n[training]\nlearning_rate = 2\nepochs = 1.5"),
        (
            "benchmark.toml:13: split.seeds: 1 is listed twice",
            "training.learning_rate",
            "found 2, expected less than 1",
            "training.epochs",
            "a whole number",
        ),
    ),
    "toml date": (
        of_toml('chains = "HL"', 'title = 2020-01-01\nchains = "HL"'),
        ("benchmark.toml:2: title", "found 2020-01-01, expected text in quotation marks"),
    ),
    "toml quotation marks": (
        of_toml('"heavy"', "heavy"),
        ("benchmark.toml:7: this is not TOML", "Text stands in quotation marks"),
    ),
    "toml table": (
        Case('task = "paratope"\nsource = "antibodies.csv"\n', {}),
        ("benchmark.toml:2: source", "below a line [source]"),
    ),
    "toml empty": (Case("", {}), ("benchmark.toml:1: the key 'task' is missing", "the key 'source' is missing")),
    "toml model": (
        of_toml('chains = "HL"', 'models = ["antibert"]'),
        ("benchmark.toml:2: unknown model 'antibert'. Did you mean 'antiberty'?",),
    ),
    "toml candidates": (of_toml("", "", more='[candidates]\nfiles = ["new.csv"]'), ("new.csv: there is no such file",)),
    "toml label twice": (
        of_toml('["no"]', '["YES ", "yes"]'),
        ("benchmark.toml:5: columns: label 'yes' is declared as positive and as negative",),
    ),
    "toml part of no file": (
        of_toml("", "", more='[split]\ntest_files = ["other.csv"]'),
        ("benchmark.toml:13: split.test_files: file 'other.csv' is not among source.files", "Add it to source.files"),
    ),
    "toml format needs": (
        of_toml('"antigen-specificity"', '"paratope"'),
        ('benchmark.toml:3: source.format: task "paratope" needs one label per residue', 'expected "sabdab" or "airr"'),
    ),
}

DATED = (["2020", *GOOD[0]], ["2021", *GOOD[1]], ["2022", *GOOD[2]])
USABLE = {
    "table": of_table(CSV),
    "ids that say nothing": of_table(table(HEADER, *GOOD, ["a1", VH[2:], VL, "no"])),
    "no date where there is no label": of_table(
        table("date " + HEADER, *DATED, ["", "a4", VH[3:], VL, ""]),
        columns=TABLE + '\ndate = "date"',
        more='[split]\npolicy = "time"',
    ),
    "a column that is not looked at": Case(
        toml(columns=TABLE).replace('"HL"', '"H"'),
        {
            "antibodies.csv": table(
                HEADER, *([one, vh, "", label] for one, vh, _, label in GOOD), ["a4", VH[2:], VH, "no"]
            )
        },
    ),
    "sabdab": of_chains(["1abc", "H", VH, "", FLAGS]),
    "airr": of_airr(
        ["s1", "IGH", "c1", "", VH, "yes"],
        ["s2", "IGK", "c1", "", VL, "yes"],
        ["s3", "IGH", "c2", "", VH[1:], "no"],
        ["s4", "IGL", "c2", "", VL, "no"],
    ),
    "oas": Case(
        toml('files = ["unit.csv", "other.csv"]\nformat = "oas"', 'label = "Disease"\npositive = ["SARS-COV-2"]'),
        {"unit.csv": table(OAS_HEADER, OAS_ROWS[0], first=ABOUT)}
        | {"other.csv": table(OAS_HEADER, OAS_ROWS[1], first=ABOUT.replace("SARS-COV-2", "Healthy"))},
    ),
    "cov-abdab": Case(toml(COV + 'antigen = "SARS-CoV2_WT"'), {"cov.csv": COV_CSV}),
    "fasta": of_fasta(*PAIRS),
    "zip": Case(toml(ZIP, TABLE), {"raw.zip": zipped({"antibodies.csv": CSV})}),
}
JARGON = re.compile(
    r"Traceback|\w+Error\b|NoneType|None\b|\bnull\b|\bNaN\b|polars|pyarrow|pydantic|dtype|codec|\b0x|<class|object at"
    r"|\btuple|\bdict|\binput should|datetime|List\(|String\b|Int64|expr|DataFrame"
)


@pytest.fixture
def validate(tmp_path):
    """Return a function that writes a folder and returns the exit code and the lines that a person would see."""

    def run(case):
        folder = tmp_path / "mine"
        folder.mkdir()
        (folder / "benchmark.toml").write_text(case.toml)
        for name, content in case.files.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        done = CliRunner().invoke(app, ["validate", str(folder)])
        assert isinstance(done.exception, SystemExit | None), done.exc_info
        return done.exit_code, done.output.splitlines()

    return run


@pytest.mark.parametrize("name", USABLE)
def test_without_the_mistake_the_folder_is_ready(validate, name):
    code, lines = validate(USABLE[name])
    assert (code, len(lines)) == (0, 1), lines
    assert ": ready. Next: ab-assets add" in lines[0]


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told_in_the_words_of_the_person_who_can_mend_it(validate, name):
    case, words = CASES[name]
    code, lines = validate(case)
    text = "\n".join(lines)
    assert code == 2
    assert [word for word in words if word not in text] == [], text
    assert not JARGON.search(text), text
    assert all(line.startswith("  - ") and line.endswith((".", "?")) for line in lines[1:]), text
    assert len(lines) <= 8, text


def test_a_folder_without_benchmark_toml_is_told_so(tmp_path):
    done = CliRunner().invoke(app, ["validate", str(tmp_path / "nothing")])
    assert done.exit_code == 2
    assert "there is no benchmark.toml here" in done.output
