"""Rows that have a fold keep it when others come and go, and nothing leaks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ab_assets.splits.continuation import _joined, continue_folds
from ab_assets.splits.folds import REMOVED, assign_folds, symmetric
from ab_assets.splits.graph import similarity_graph
from ab_assets.splits.policies import make_split
from ab_assets.tables import EDGES, ROLES, conform


def integers(*values):
    return np.array(values, np.int64)


def graph_of(count, *, seed, degree=1.5):
    rng = np.random.default_rng(seed)
    ends = rng.integers(count, size=(2, int(count * degree / 2)))
    strata, units = rng.integers(2, size=count), rng.integers(count, size=count)
    return ends[0], ends[1], strata, np.unique(units, return_inverse=True)[1]


@pytest.mark.parametrize("seed", range(200))
def test_no_row_leaves_its_fold_and_no_edge_or_unit_joins_two(seed):
    left, right, strata, units = graph_of(120, seed=seed, degree=1.0 + seed % 3)
    inside = (left < 90) & (right < 90)
    earlier = assign_folds(left[inside], right[inside], strata=strata[:90], units=units[:90], folds=3, starts=3)
    previous = np.concatenate([earlier, np.full(30, REMOVED)])
    fold = continue_folds(previous, left, right, strata=strata, units=units, folds=3)
    assert fold is not None
    had = previous != REMOVED
    assert (fold[had] == previous[had]).all()
    both = (fold[left] != REMOVED) & (fold[right] != REMOVED)
    assert (fold[left] == fold[right])[both].all()
    homes = {(int(unit), int(place)) for unit, place in zip(units, fold, strict=True) if place != REMOVED}
    assert len(homes) == len({unit for unit, _ in homes})
    for row in np.flatnonzero(fold == REMOVED):  # it is tied to two folds
        ends = np.concatenate([right[left == row], left[right == row], np.flatnonzero(units == units[row])])
        assert len(set(fold[ends]) - {REMOVED}) > 1


def test_a_new_row_joins_the_fold_of_what_it_resembles_and_one_between_two_folds_is_removed():
    previous = integers(0, 1, 2, 0, 2, REMOVED, REMOVED, REMOVED)
    left, right = integers(1, 5, 0, 7), integers(5, 6, 7, 2)
    fold = continue_folds(previous, left, right, strata=np.zeros(8, np.int64), units=np.arange(8), folds=3)
    assert fold.tolist() == [0, 1, 2, 0, 2, 1, 1, REMOVED]


def test_new_rows_that_resemble_nobody_fill_the_fold_that_lacks_their_class():
    strata = integers(0, 1, 0, 1, 0, 0, 1)
    previous = integers(0, 0, 1, 1, 2, REMOVED, REMOVED)
    fold = continue_folds(previous, integers(), integers(), strata=strata, units=np.arange(7), folds=3)
    assert fold[6] == 2


def test_folds_are_made_anew_where_no_row_is_known_or_an_edge_joins_two_folds_or_one_outgrows_the_others():
    none = {"strata": np.zeros(4, np.int64), "units": np.arange(4), "folds": 3}
    assert continue_folds(np.full(4, REMOVED), integers(), integers(), **none) is None
    assert continue_folds(integers(0, 1, 2, REMOVED), integers(0), integers(1), **none) is None
    joined = none | {"units": integers(0, 0, 1, 2)}
    assert continue_folds(integers(0, 1, 2, REMOVED), integers(), integers(), **joined) is None
    many = {"strata": np.zeros(20, np.int64), "units": np.arange(20), "folds": 3}
    star = np.zeros(17, np.int64), np.arange(3, 20)
    assert continue_folds(np.concatenate([[0, 1, 2], np.full(17, REMOVED)]), *star, **many) is None


def divided(rows, benchmark, earlier=None):
    edges = similarity_graph(
        rows, benchmark.split.identity, cluster=lambda rows: dict.fromkeys(rows["row_id"], "")
    ).edges
    return make_split(rows, edges, benchmark, earlier)


@pytest.mark.parametrize("policy", ["identity", "random"])
@pytest.mark.parametrize("seed", range(5))
def test_appended_rows_leave_the_earlier_ones_where_they_were(curated, benchmark_of, policy, seed):
    certificate = "report" if policy == "random" else "enforce"
    rows, benchmark = curated(80, seed=seed), benchmark_of(policy=policy, certificate=certificate, max_removed=1.0)
    before = divided(rows.head(60), benchmark)
    after = divided(rows.sample(fraction=1.0, shuffle=True, seed=seed), benchmark, before.roles)
    places = [dict(part.roles.select("row_id", "fold").unique().iter_rows()) for part in (before, after)]
    assert {row: places[1][row] for row in places[0]} == places[0]
    assert after.summary["kept_their_fold"] == len(places[0])
    assert len(places[1]) > len(places[0])


def test_folds_that_lack_a_class_since_labels_were_corrected_are_made_anew(curated, benchmark_of):
    rows, benchmark = curated(60, seed=4, spread=0), benchmark_of(max_removed=1.0)
    before = divided(rows, benchmark)
    of_two = before.roles.filter(pl.col("fold") == 2)["row_id"]
    corrected = rows.with_columns(label=pl.col("label") & ~pl.col("row_id").is_in(of_two.implode()))
    after = divided(corrected, benchmark, before.roles)
    assert after.roles.equals(divided(corrected, benchmark).roles)
    assert after.summary["kept_their_fold"] == 0


def test_a_published_split_has_no_folds_to_keep(curated, benchmark_of):
    rows = curated(60, seed=4).with_columns(part=pl.Series(["train", "validation", "test"] * 20))
    benchmark = benchmark_of(policy="published", certificate="report")
    before = divided(rows, benchmark)
    assert divided(rows, benchmark, before.roles).summary["kept_their_fold"] == 0


def test_a_long_row_of_new_antibodies_is_placed_from_either_end():
    count = 20_000
    previous = np.full(count, REMOVED)
    previous[-1] = 1
    path = np.arange(count - 1)
    many = {"strata": np.zeros(count, np.int64), "units": np.arange(count), "folds": 3}
    assert continue_folds(previous, path, path + 1, **many) is None  # one fold has all of them
    assert (_joined(previous, symmetric(path, path + 1, count), np.arange(count), previous.copy()) == 1).all()


def test_folds_are_made_anew_when_the_benchmark_says_so(curated, benchmark_of):
    rows, benchmark = curated(80, seed=1), benchmark_of(keep_folds=False, max_removed=1.0)
    before = divided(rows.head(60), benchmark)
    anew = divided(rows, benchmark, before.roles)
    assert anew.roles.equals(divided(rows, benchmark).roles)
    assert anew.summary["kept_their_fold"] == 0


def test_keeping_folds_at_a_cost_above_what_may_be_removed_makes_them_anew(curated, benchmark_of):
    # twenty new rows resemble both of two rows that stand in different folds
    rows = curated(80, seed=3).sort("row_id")
    names = rows["row_id"].to_list()
    between = [(names[place], end) for place in range(2, 22) for end in names[:2]]
    edges = conform(pl.DataFrame([(*sorted(pair), "vh", 0.95) for pair in between], list(EDGES), orient="row"), EDGES)
    earlier = pl.DataFrame([(0, names[0], "train", 0), (0, names[1], "train", 1)], ROLES, orient="row")
    kept = make_split(rows, edges, benchmark_of(max_removed=0.3), earlier)
    assert (kept.summary["removed_to_separate"], kept.summary["kept_their_fold"]) == (20, 2)
    anew = make_split(rows, edges, benchmark_of(max_removed=0.1), earlier)
    assert anew.summary["removed_to_separate"] == 0
    assert anew.roles.equals(make_split(rows, edges, benchmark_of(max_removed=0.1)).roles)
