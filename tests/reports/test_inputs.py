import polars as pl

from ab_assets import tables
from ab_assets.reports import inputs

METHOD = "antiberty fine-tuned"


def curated(rows):
    return tables.conform(pl.DataFrame(rows, infer_schema_length=None), tables.CURATED)


def roles(*entries):
    return pl.DataFrame([(0, row, role, 0) for row, role in entries], schema=tables.ROLES, orient="row")


def test_classes_of_antibodies_are_counted_per_role(make_report):
    rows = curated([{"row_id": "a", "label": True}, {"row_id": "b", "label": False}, {"row_id": "c", "label": True}])
    sizes = inputs.split_sizes(rows, roles(("c", "test"), ("a", "train"), ("b", "train")), make_report().benchmark)
    assert sizes.rows() == [(0, "train", 2, 1, 1), (0, "test", 1, 1, 0)]


def test_classes_of_residues_are_counted_on_the_chains_used(make_report):
    rows = curated(
        [
            {"row_id": "a", "vh_paratope": [True, False, False], "vl_paratope": [True, True]},
            {"row_id": "b", "vh_paratope": [True], "vl_paratope": None},
        ]
    )
    benchmark = make_report(task="paratope").benchmark
    both = benchmark.model_copy(update={"chains": "HL"})
    where = roles(("a", "train"), ("b", "test"))
    assert inputs.split_sizes(rows, where, benchmark).rows() == [(0, "train", 1, 1, 2), (0, "test", 1, 1, 0)]
    assert inputs.split_sizes(rows, where, both).rows()[0] == (0, "train", 1, 3, 2)


def predictions(hits):
    """Antibody i has four residues, the first two in the paratope, of which hits[i] and no others are found."""
    rows = [
        (METHOD, 0, seed, "test", f"r{i}", "vh", place, str(place + 1), place < 2, 0.9 if place < hit else 0.1)
        for i, hit in enumerate(hits)
        for place in range(4)
        for seed in (1, 2)
    ]
    return pl.DataFrame(rows, schema=tables.PREDICTIONS, orient="row")


def test_antibodies_are_shown_from_the_worst_to_the_best():
    rows = curated([{"row_id": f"r{i}", "sequence_id": f"s{i}", "vh": "ACDE"} for i in range(4)])
    where = [(METHOD, 0, seed, 0.5, 1.0) for seed in (1, 2)]
    limits = pl.DataFrame(where, schema=tables.THRESHOLDS, orient="row")
    shown = inputs.residues_to_show(rows, predictions([2, 0, 1, 2]), limits, method=METHOD, antibodies=2)
    assert shown["row_id"].unique(maintain_order=True).to_list() == ["r2", "r3"]
    assert shown["amino_acid"].to_list() == list("ACDE") * 2
    assert shown["mcc"].to_list()[-1] == 1.0


def test_a_method_without_predictions_shows_no_residues():
    none = pl.DataFrame(schema=tables.THRESHOLDS)
    assert inputs.residues_to_show(curated([{"row_id": "a"}]), predictions([1]), none, method="other").is_empty()
