"""The demo's data say what they claim: the same every time, with the rule, the noise and the families planted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ab_assets.benchmarks.reading import read_benchmark
from ab_assets.datasets.curation import curate
from ab_assets.datasets.imgt import REGIONS
from ab_assets.datasets.readers import read_source
from ab_assets.datasets.simulation.demo import DONORS, simulate_paratope, simulate_specificity, write_demo
from ab_assets.datasets.simulation.rules import BINDING_V_GENES, LABEL_NOISE, MOTIF
from ab_assets.errors import UnknownNameError

DEFINITIONS = Path(__file__).parents[3] / "benchmarks"
PATTERN = "".join(f"[{options}]" for options in MOTIF)


@pytest.fixture(scope="module")
def antibodies():
    return simulate_specificity(seed=3, antibodies=2000)


@pytest.fixture(scope="module")
def chains():
    return simulate_paratope(seed=3, antibodies=60)


def cdrh3(row: dict) -> str:
    pairs = zip(row["heavy"], row["heavy_imgt"].split(), strict=True)
    return "".join(residue for residue, position in pairs if re.match(r"10[5-9]|11[0-7]", position))


@pytest.mark.parametrize("name", ["demo-specificity", "demo-paratope"])
def test_the_same_bytes_every_time(tmp_path, name):
    for copy in ("one", "two"):
        write_demo(name, tmp_path / copy)
    (one,), (two,) = ((tmp_path / copy).iterdir() for copy in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_another_seed_is_another_repertoire():
    one, two = (set(simulate_specificity(seed, 100)["heavy"]) for seed in (1, 2))
    assert not one & two


def test_an_unknown_demo_is_refused(tmp_path):
    with pytest.raises(UnknownNameError):
        write_demo("demo-elsewhere", tmp_path)


def test_a_binder_has_the_motif_in_its_cdrh3_on_a_binding_v_gene(antibodies):
    for row in antibodies.iter_rows(named=True):
        planted = re.search(PATTERN, cdrh3(row)) is not None and row["v_call"].startswith(BINDING_V_GENES)
        assert planted == (row["true_binds"] == "yes")


def test_the_motif_alone_and_its_residues_alone_do_not_bind(antibodies):
    elsewhere = antibodies.filter(~pl.col("v_call").str.contains("|".join(BINDING_V_GENES)))
    assert sum(re.search(PATTERN, cdrh3(row)) is not None for row in elsewhere.iter_rows(named=True)) >= 40
    assert set(elsewhere["true_binds"]) == {"no"}


def test_labels_are_wrong_as_often_as_declared(antibodies):
    wrong = (antibodies["binds"] != antibodies["true_binds"]).mean()
    assert wrong == pytest.approx(LABEL_NOISE, abs=3 * np.sqrt(LABEL_NOISE / antibodies.height))


def test_both_classes_and_all_donors_are_there(antibodies):
    assert 0.3 < (antibodies["binds"] == "yes").mean() < 0.6
    assert antibodies["donor"].n_unique() == DONORS


def test_every_antibody_is_distinct_and_families_share_their_genes(antibodies):
    assert antibodies["heavy"].n_unique() == antibodies.height
    clones = antibodies.with_columns(cdrh3=pl.Series([cdrh3(row) for row in antibodies.iter_rows(named=True)]))
    same = (
        clones.group_by("cdrh3").agg(pl.len(), pl.col("v_call", "j_call", "donor").n_unique()).filter(pl.col("len") > 1)
    )
    assert same.height > 100
    assert (same["v_call"] == 1).mean() > 0.95
    assert (same["donor"] == 1).mean() > 0.95


@pytest.mark.parametrize(("column", "residue"), [("23", "C"), ("41", "W"), ("104", "C")])
def test_the_fold_keeps_what_it_needs(antibodies, column, residue):
    for row in antibodies.head(300).iter_rows(named=True):
        for chain in ("heavy", "light"):
            at = dict(zip(row[f"{chain}_imgt"].split(), row[chain], strict=True))
            assert at[column] == residue


def test_paratopes_lie_in_the_loops_and_on_both_chains_alike(chains):
    share = {}
    for kind in ("heavy", "light"):
        inside, labels = [], []
        for row in chains.filter(chain=kind).iter_rows(named=True):
            columns = [int(re.match(r"\d+", position)[0]) for position in row["imgt"].split()]
            loops = [REGIONS[name] for name in ("cdr1", "cdr2", "cdr3")]
            inside += [any(first <= column <= last for first, last in loops) for column in columns]
            labels += [label == "1" for label in row["paratope"]]
        assert not (np.array(labels) & ~np.array(inside)).any()
        share[kind] = np.mean(labels)
    assert share["heavy"] == pytest.approx(share["light"], abs=0.02)
    assert 0.05 < share["heavy"] < 0.2


@pytest.mark.parametrize("name", ["demo-specificity", "demo-paratope"])
def test_its_definition_reads_every_row(tmp_path, name):
    write_demo(name, tmp_path)
    benchmark = read_benchmark(DEFINITIONS / name)
    curation = curate(read_source(benchmark, tmp_path), benchmark, numbering=None)
    assert curation.counts["rejected"] == {}
