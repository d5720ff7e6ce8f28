"""Every policy keeps its promise on random data, by brute force."""

from __future__ import annotations

from itertools import product

import polars as pl
import pytest

from ab_assets.errors import BadInputError, InfeasibleSplitError
from ab_assets.splits.certificate import certify
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.identity import sequence_identity
from ab_assets.splits.policies import in_canonical_order, make_split


def own_clusters(rows):
    return dict(zip(rows["row_id"], rows["row_id"], strict=True))


def divide(rows, benchmark):
    graph = similarity_graph(rows, benchmark.split.identity, cluster=own_clusters)
    return make_split(rows, graph.edges, benchmark)


def worst_pair(rows, roles, fit):
    """Return the highest (vh, cdrh3) identity between training rows and others, compared one by one."""
    here = rows.join(roles.filter(pl.col("fit") == fit), on="row_id")
    train = here.filter(pl.col("role") == "train")
    held = here.filter(pl.col("role") != "train")
    pairs = list(product(held.iter_rows(named=True), train.iter_rows(named=True)))
    return tuple(max(sequence_identity(a[by], b[by], kind=by) for a, b in pairs) for by in ("vh", "cdrh3"))


@pytest.mark.parametrize("seed", range(60))
def test_no_identity_split_holds_a_pair_at_its_bound(curated, benchmark_of, seed):
    rows, benchmark = curated(45, seed=seed), benchmark_of(max_removed=1.0)
    division = divide(rows, benchmark)
    for fit in range(3):
        vh, cdrh3 = worst_pair(rows, division.roles, fit)
        assert vh < 0.9
        assert cdrh3 < 0.8
    assert certify(rows, division.roles, benchmark.split).passed


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_in_every_fit_or_removed_with_a_reason(curated, benchmark_of, seed):
    rows = curated(45, seed=seed)
    division = divide(rows, benchmark_of(max_removed=1.0))
    used = set(division.roles["row_id"])
    assert used | set(division.removed["row_id"]) == set(rows["row_id"])
    assert not used & set(division.removed["row_id"])
    assert division.roles.group_by("fit").len()["len"].n_unique() == 1


def test_fit_i_tests_fold_i_and_validates_the_next(curated, benchmark_of):
    roles = divide(curated(45, seed=1), benchmark_of()).roles
    folds = {(fit, role): set(part["fold"]) for (fit, role), part in roles.group_by("fit", "role")}
    assert folds[0, "test"] == {0}
    assert folds[0, "validation"] == {1}
    assert folds[2, "validation"] == {0}


def test_row_order_and_ids_change_nothing(curated, benchmark_of):
    rows = curated(45, seed=3)
    names = {name: f"x{index:03d}" for index, name in enumerate(reversed(rows["row_id"].to_list()))}
    renamed = rows.reverse().with_columns(pl.col("row_id").replace(names))
    roles = divide(rows, benchmark_of()).roles.with_columns(pl.col("row_id").replace(names))
    assert sorted(roles.rows()) == sorted(divide(renamed, benchmark_of()).roles.rows())


@pytest.mark.parametrize("copies", [1, 10, 50])
@pytest.mark.parametrize("share", [0, 3, 5])
def test_planted_near_copies_stay_on_one_side(curated, benchmark_of, near, copies, share):
    import random

    rows = curated(60, seed=5)
    rng = random.Random(copies)
    founder = rows["vh"][0]
    planted = curated(copies, seed=9).with_columns(
        row_id=pl.format("copy-{}", pl.int_range(copies)),
        vh=pl.Series([near(founder, share, rng) for _ in range(copies)]),
    )
    both = pl.concat([rows, planted])
    roles = divide(both, benchmark_of(max_removed=1.0)).roles
    for fit in range(3):
        assert worst_pair(both, roles, fit)[0] < 0.9


def published(curated):
    rows = curated(120, seed=8, spread=2)
    parts = ["test" if n < 24 else "validation" if n < 48 else "train" for n in range(120)]
    for odd, part in ((60, "test"), (80, "validation"), (81, "test")):  # inside families of training rows
        parts[odd] = part
    return rows.with_columns(part=pl.Series(parts))


def test_a_published_split_that_is_enforced_loses_similar_training_rows(curated, benchmark_of):
    rows = published(curated)
    division = divide(rows, benchmark_of(policy="published", max_removed=1.0))
    assert division.removed["reason"].unique().to_list() == ["guard-band"]
    tests = set(division.roles.filter(pl.col("role") == "test")["row_id"])
    assert tests == set(rows.filter(pl.col("part") == "test")["row_id"])
    assert worst_pair(rows, division.roles, 0)[0] < 0.9


def test_a_waived_published_split_stays_as_published(curated, benchmark_of):
    rows, benchmark = published(curated), benchmark_of(policy="published", certificate="report")
    division = divide(rows, benchmark)
    assert division.removed.height == 0
    certificate = certify(rows, division.roles, benchmark.split)
    assert not certificate.passed
    assert certificate.over > 0


def test_groups_do_not_straddle(curated, benchmark_of):
    rows = curated(60, seed=4, subject_id=pl.format("donor{}", pl.int_range(60) % 9))
    roles = divide(rows, benchmark_of(policy="group", max_removed=1.0)).roles
    fold = (
        roles.filter(pl.col("fit") == 0).join(rows, on="row_id").group_by("subject_id").agg(pl.col("fold").n_unique())
    )
    assert fold["fold"].unique().to_list() == [1]


def test_the_newest_rows_are_tested(curated, benchmark_of):
    rows = curated(60, seed=4, date=pl.format("2020-01-{}", (pl.int_range(60) % 28 + 1).cast(pl.String).str.zfill(2)))
    roles = divide(rows, benchmark_of(policy="time", fits=1, certificate="report")).roles.join(rows, on="row_id")
    newest = roles.filter(pl.col("role") == "test")["date"].min()
    assert newest > roles.filter(pl.col("role") == "train")["date"].max()


@pytest.mark.parametrize(("policy", "column"), [("group", "subject_id"), ("time", "date")])
def test_a_policy_whose_column_is_empty_is_refused(curated, benchmark_of, policy, column):
    with pytest.raises(BadInputError, match=column):
        divide(curated(30, seed=1), benchmark_of(policy=policy))


def test_too_costly_a_split_says_what_other_bounds_would_cost(curated, benchmark_of):
    rows = curated(60, seed=1)
    with pytest.raises(InfeasibleSplitError, match="would remove"):
        divide(rows, benchmark_of(max_removed=0.0, identity={"vh": 0.05, "cdrh3": 0.05}))


def test_canonical_order_follows_from_the_sequences(curated):
    rows = curated(30, seed=2)
    assert in_canonical_order(rows)["vh"].to_list() == in_canonical_order(rows.reverse())["vh"].to_list()


def test_test_files_are_tested_by_every_fit(curated, benchmark_of):
    rows = curated(60, seed=7).with_columns(part=pl.when(pl.int_range(60) < 12).then(pl.lit("test")))
    roles = divide(rows, benchmark_of(test_files=("t.csv",), max_removed=1.0)).roles
    tests = roles.filter(pl.col("role") == "test").group_by("fit").agg(pl.col("row_id").sort())
    assert tests["row_id"].n_unique() == 1
    assert set(tests["row_id"][0]) == set(rows.filter(pl.col("part") == "test")["row_id"])


def dated(curated):
    return curated(60, seed=4, date=pl.format("20{}", pl.int_range(60) % 20 + 10))


def test_by_date_no_fit_trains_on_what_is_newer_than_its_test_rows(curated, benchmark_of):
    rows = dated(curated)
    roles = divide(rows, benchmark_of(policy="time", folds=5, certificate="report")).roles.join(rows, on="row_id")
    assert roles["fit"].n_unique() == 3
    for _, fit in roles.group_by("fit"):
        dates = {role: part["date"] for (role,), part in fit.group_by("role")}
        assert dates["train"].max() < dates["validation"].min()
        assert dates["validation"].max() < dates["test"].min()


def test_dates_that_cannot_be_ordered_are_refused(curated, benchmark_of):
    rows = dated(curated).with_columns(date=pl.lit("31/12/2020"))
    with pytest.raises(BadInputError, match="31/12/2020"):
        divide(rows, benchmark_of(policy="time"))


def test_a_published_row_without_a_part_is_refused(curated, benchmark_of):
    rows = published(curated).with_columns(part=pl.when(pl.int_range(120) > 5).then("part"))
    with pytest.raises(BadInputError, match="part"):
        divide(rows, benchmark_of(policy="published", certificate="report"))


def test_without_a_validation_part_one_in_five_training_rows_validates(curated, benchmark_of):
    rows = published(curated).with_columns(pl.col("part").replace({"validation": "train"}))
    roles = divide(rows, benchmark_of(policy="published", max_removed=1.0)).roles
    count = dict(roles.group_by("role").len().iter_rows())
    assert count["validation"] / (count["validation"] + count["train"]) == pytest.approx(0.2, abs=0.06)
    assert worst_pair(rows, roles, 0)[0] < 0.9


def test_a_guard_band_that_empties_fits_is_too_costly_though_every_row_is_tested(curated, benchmark_of):
    """Each donor has a member of each family, so that no fit keeps what it should train on."""
    rows = curated(60, seed=4)
    rows = rows.with_columns(
        vh=pl.Series([rows["vh"][n % 5] for n in range(60)]), subject_id=pl.format("d{}", pl.int_range(60) // 5)
    )
    with pytest.raises(InfeasibleSplitError, match="would remove"):
        divide(rows, benchmark_of(policy="group"))


def test_rows_near_a_test_file_leave_before_folds_are_made(curated, benchmark_of):
    rows = curated(60, seed=7, spread=1).with_columns(part=pl.when(pl.int_range(60) % 5 == 0).then(pl.lit("test")))
    division = divide(rows, benchmark_of(test_files=("t.csv",), max_removed=1.0))
    assert set(division.removed["reason"]) == {"guard-band"}
    assert division.summary["removed_by_guard_band"] == division.removed.height
