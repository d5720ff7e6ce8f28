"""Who trains, validates and tests in each fit, by the policy that the benchmark declares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ab_assets.errors import BadInputError, InfeasibleSplitError
from ab_assets.splits.continuation import continue_folds
from ab_assets.splits.folds import REMOVED as NO_FOLD
from ab_assets.splits.folds import assign_folds
from ab_assets.splits.graph import row_numbers
from ab_assets.splits.guard import Ties, guarded
from ab_assets.splits.options import options, strata_of, units_of
from ab_assets.tables import DATE, REMOVED, ROLES, conform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ab_assets.benchmarks.schema import Benchmark

    Integers = NDArray[np.int64]

TEST_FILE_FOLD = -1
SEPARATED, GUARD_BAND = "removed_to_separate", "guard-band"
# Policies by which rows that had a fold keep it; dates and published parts say themselves where a row belongs.
CONTINUED = frozenset({"identity", "group", "random"})
# A published split without a validation part gives one in five of its training rows to validation.
VALIDATION_PARTS = 5


@dataclass(frozen=True, slots=True)
class Division:
    """roles: ROLES; removed: REMOVED, rows that take part in no fit; summary: counts for people."""

    roles: pl.DataFrame
    removed: pl.DataFrame
    summary: dict[str, Any]


def make_split(
    rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark, earlier: pl.DataFrame | None = None
) -> Division:
    """Return the division of CURATED `rows` (selected, labelled) that the benchmark declares.

    `edges`: EDGES at the declared bounds. Fit i tests fold i, validates fold i + 1 and trains on the rest (policy time:
    on older folds only, so there are at most folds - 2 fits); rows of `test_files` are tested by every fit instead.
    Where the certificate is enforced and the policy does not itself keep similar rows apart, rows too similar to a test
    row leave training and validation, and rows too similar to a validation row leave training ("guard-band"). Raises
    InfeasibleSplitError when that costs any fit more than `max_removed` of the rows, BadInputError when the data lack
    what the policy needs.

    earlier: ROLES of the benchmark's split before its data changed. Rows of policies identity, group and random that
    had a fold keep it (`keep_folds`), unless that is not feasible or makes folds too uneven.
    """
    rows = in_canonical_order(rows)
    if earlier is not None and benchmark.split.keep_folds and benchmark.split.policy in CONTINUED:
        try:
            return _divided(rows, edges, benchmark, earlier)
        except InfeasibleSplitError:
            pass  # folds made anew may be feasible, or say what would be
    return _divided(rows, edges, benchmark, None)


def _divided(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark, earlier: pl.DataFrame | None) -> Division:
    split = benchmark.split
    ties = Ties(rows, edges, groups_of(benchmark))
    if split.policy == "published":
        declared, lost = _published(rows, edges, ties, benchmark)
    else:
        declared, lost = _folded(rows, edges, ties, benchmark, earlier)
    roles = guarded(declared, ties) if split.certificate == "enforce" else declared
    unused = rows.join(roles.select("row_id").unique(), on="row_id", how="anti").select("row_id")
    reasons = unused.join(lost, on="row_id", how="left").with_columns(pl.col("reason").fill_null(GUARD_BAND))
    removed = conform(reasons.sort("row_id"), REMOVED)
    _require_cost(rows, edges, benchmark, cost=(lost.height + _most_guarded(declared, roles)) / max(rows.height, 1))
    _require_classes(rows, edges, roles, benchmark)
    kept = 0 if earlier is None else _homes(roles).join(_homes(earlier), on=["row_id", "fold"]).height
    return Division(roles, removed, _summary(rows, declared, roles, removed) | {"kept_their_fold": kept})


def in_canonical_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in an order that follows from their sequences alone, not from names or places in a file."""
    keys = [
        hashlib.sha256("|".join(text or "" for text in row).encode()).hexdigest()
        for row in rows.select("vh", "vl", "entry", "subject_id", "part").iter_rows()
    ]
    return rows.with_columns(pl.Series("_key", keys)).sort("_key", "row_id").drop("_key")


def groups_of(benchmark: Benchmark) -> tuple[str, ...]:
    """Return the columns whose values may not stand on both sides of an enforced split."""
    return ("entry", "subject_id") if benchmark.split.policy == "group" else ("entry",)


def _folded(
    rows: pl.DataFrame, edges: pl.DataFrame, ties: Ties, benchmark: Benchmark, earlier: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return ROLES, and as (row_id, reason) what was removed to keep folds, or folds and test files, apart."""
    split = benchmark.split
    fixed = (
        rows["part"].eq_missing(pl.lit("test"))
        if split.test_files
        else pl.Series([False] * rows.height, dtype=pl.Boolean)
    )
    tested, free = rows.filter(fixed), rows.filter(~fixed)
    lost = pl.DataFrame(schema={"row_id": pl.String, "reason": pl.String})
    if split.certificate == "enforce" and tested.height:
        near = ties.of(tested.select("row_id", fit=pl.lit(0)))
        screened = free.join(near, on="row_id", how="semi").select("row_id", reason=pl.lit(GUARD_BAND))
        lost, free = pl.concat([lost, screened]), free.join(screened, on="row_id", how="anti")
    home = free.select("row_id", fold=pl.Series(_folds(free, edges, benchmark, earlier), dtype=pl.Int64))
    separated = home.filter(pl.col("fold") == NO_FOLD).select("row_id", reason=pl.lit(SEPARATED))
    tests = tested.select("row_id", fold=pl.lit(TEST_FILE_FOLD, dtype=pl.Int64))
    every = pl.concat([home.filter(pl.col("fold") != NO_FOLD), tests])
    parts = [_fit(every, fit, benchmark, own_tests=bool(tests.height)) for fit in range(_fits(benchmark, tests.height))]
    return pl.concat(parts).sort("fit", "row_id"), pl.concat([lost, separated])


def _fits(benchmark: Benchmark, tests: int) -> int:
    """Return the number of fits; by date each needs one older fold to train on, and one to validate on."""
    split = benchmark.split
    needed = 1 if tests else 2
    return min(split.fit_count, split.folds - needed) if split.policy == "time" else split.fit_count


def _fit(home: pl.DataFrame, fit: int, benchmark: Benchmark, *, own_tests: bool) -> pl.DataFrame:
    """Return ROLES of one fit from (row_id, fold)."""
    split = benchmark.split
    validation = fit if own_tests else (fit + 1) % split.folds
    is_train = pl.col("fold") > validation if split.policy == "time" else pl.lit(value=True)
    return roles_of_fit(home, fit, test=TEST_FILE_FOLD if own_tests else fit, validation=validation, is_train=is_train)


def roles_of_fit(
    home: pl.DataFrame, fit: int, *, test: int, validation: int, is_train: pl.Expr | None = None
) -> pl.DataFrame:
    """Return ROLES of one fit from (row_id, fold): two folds are held out; of the others `is_train` says who trains."""
    role = (
        pl.when(pl.col("fold") == test)
        .then(pl.lit("test"))
        .when(pl.col("fold") == validation)
        .then(pl.lit("validation"))
        .when(pl.lit(value=True) if is_train is None else is_train)
        .then(pl.lit("train"))
    )
    return conform(home.with_columns(role=role, fit=pl.lit(fit)).drop_nulls("role"), ROLES)


def _folds(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark, earlier: pl.DataFrame | None) -> Integers:
    split = benchmark.split
    if split.policy == "time":
        return _by_date(rows, benchmark)
    if split.policy == "group" and rows["subject_id"].null_count():
        raise BadInputError(
            what="policy group needs a subject_id for every row",
            where=f"{benchmark.name}: split",
            found=f"{rows['subject_id'].null_count()} rows without one",
            hint="Name the column under [columns] subject_id.",
        )
    left, right = row_numbers(rows, edges if split.policy == "identity" else edges.clear())
    strata, units = strata_of(rows), units_of(rows, () if split.policy == "random" else groups_of(benchmark))
    if earlier is not None:
        had = rows.select("row_id").join(_homes(earlier), on="row_id", how="left", maintain_order="left")["fold"]
        known = had.fill_null(NO_FOLD).to_numpy()
        fold = continue_folds(known, left, right, strata=strata, units=units, folds=split.folds)
        if fold is None:
            raise InfeasibleSplitError(what="earlier rows cannot keep their folds", where=f"{benchmark.name}: split")
        return fold
    return assign_folds(left, right, strata=strata, units=units, folds=split.folds)


def _homes(roles: pl.DataFrame) -> pl.DataFrame:
    """Return (row_id, fold) of the rows of ROLES that have a fold."""
    return roles.filter(pl.col("fold") >= 0).select("row_id", "fold").unique("row_id")


def _by_date(rows: pl.DataFrame, benchmark: Benchmark) -> np.ndarray:
    """Return folds by date: the newest rows are fold 0 (test), those before them fold 1 (validation)."""
    if rows["date"].null_count():
        raise BadInputError(
            what="policy time needs a date for every row",
            where=f"{benchmark.name}: split",
            found=f"{rows['date'].null_count()} rows without one",
            hint="Name the column under [columns] date; dates as YYYY-MM-DD.",
        )
    odd = rows.filter(~pl.col("date").str.contains(DATE))
    if odd.height:
        raise BadInputError(
            what="dates cannot be put in order",
            where=f"{benchmark.name}: split, row {odd['row_id'][0]}",
            found=f"{odd['date'][0]!r} and {odd.height - 1} others",
            expected="YYYY-MM-DD, YYYY-MM or YYYY",
        )
    rank = rows["date"].rank("dense", descending=True).to_numpy() - 1
    order = np.argsort(rank, kind="stable")
    fold = np.empty(rows.height, dtype=np.int64)
    fold[order] = np.arange(rows.height) * benchmark.split.folds // rows.height
    for value in np.unique(rank):  # rows of one day stay together
        fold[rank == value] = fold[rank == value].min()
    return fold


def _published(
    rows: pl.DataFrame, edges: pl.DataFrame, ties: Ties, benchmark: Benchmark
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return ROLES of the one fit that the data declare; without a validation part one is cut from training."""
    odd = rows.filter(~pl.col("part").is_in(["train", "validation", "test"]).fill_null(value=False))
    if odd.height:
        raise BadInputError(
            what="policy published needs the part of every row",
            where=f"{benchmark.name}: split, row {odd['row_id'][0]}",
            found=f"{odd.height} rows without one",
            expected="train, validation or test",
            hint="Name the column under [columns] part, or the files under [split.parts].",
        )
    roles = conform(rows.select("row_id", fit=pl.lit(0), role="part", fold=pl.lit(0)), ROLES)
    lost = pl.DataFrame(schema={"row_id": pl.String, "reason": pl.String})
    if "validation" not in set(rows["part"]):
        train = rows.filter(pl.col("part") == "train")
        if benchmark.split.certificate == "enforce":  # what leaves anyway must not decide which rows validate
            tests = roles.filter(pl.col("role") == "test").select("fit", "row_id")
            train = train.join(ties.of(tests), on="row_id", how="anti")
        left, right = row_numbers(train, edges)
        units = units_of(train, groups_of(benchmark))
        fold = assign_folds(left, right, strata=strata_of(train), units=units, folds=VALIDATION_PARTS)
        chosen = train.select("row_id").filter(pl.Series(fold == 0))
        is_chosen = pl.col("row_id").is_in(chosen["row_id"].implode())
        roles = roles.with_columns(role=pl.when(is_chosen).then(pl.lit("validation")).otherwise("role"))
    return roles.sort("row_id"), lost


def _most_guarded(declared: pl.DataFrame, roles: pl.DataFrame) -> int:
    """Return how many rows the guard band takes from the fit that loses most."""
    gone = declared.join(roles, on=["fit", "row_id"], how="anti").group_by("fit").len()
    return max(gone["len"].to_list(), default=0)


def _require_cost(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark, *, cost: float) -> None:
    if cost > benchmark.split.max_removed:
        raise InfeasibleSplitError(
            what=f"keeping similar rows apart would remove {cost:.1%} of the rows",
            where=f"{benchmark.name}: split",
            expected=f"at most max_removed = {benchmark.split.max_removed:.0%}",
            hint=options(rows, edges, benchmark),
        )


def _require_classes(rows: pl.DataFrame, edges: pl.DataFrame, roles: pl.DataFrame, benchmark: Benchmark) -> None:
    labels = roles.join(rows.select("row_id", "label"), on="row_id")
    for fit in sorted(roles["fit"].unique()):
        for role in ("train", "validation", "test"):
            chosen = labels.filter((pl.col("fit") == fit) & (pl.col("role") == role))
            if not chosen.height or (benchmark.task == "antigen-specificity" and chosen["label"].n_unique() < 2):
                raise InfeasibleSplitError(
                    what=f"fit {fit} has no {role} rows" if not chosen.height else f"fit {fit} has one class in {role}",
                    where=f"{benchmark.name}: split",
                    found=f"{chosen.height} rows",
                    expected="rows of both classes" if benchmark.task == "antigen-specificity" else "rows",
                    hint=options(rows, edges, benchmark),
                )


def _summary(rows: pl.DataFrame, declared: pl.DataFrame, roles: pl.DataFrame, removed: pl.DataFrame) -> dict[str, Any]:
    sizes = roles.unique("row_id").filter(pl.col("fold") >= 0).group_by("fold").len()["len"].to_list()
    return {
        "fits": roles["fit"].n_unique(),
        "used": roles["row_id"].n_unique(),
        "smallest_fold": min(sizes, default=0),
        "largest_fold": max(sizes, default=0),
        "removed_to_separate": removed.filter(pl.col("reason") == SEPARATED).height,
        "removed_by_guard_band": removed.filter(pl.col("reason") == GUARD_BAND).height,
        "guard_band_of_the_worst_fit": _most_guarded(declared, roles),
        "removed_share": round(removed.height / max(rows.height, 1), 4),
    }
