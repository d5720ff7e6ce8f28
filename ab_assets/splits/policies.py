"""Who trains, validates and tests in each fit, by the policy that the benchmark declares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ab_assets.errors import BadInputError, InfeasibleSplitError
from ab_assets.splits.folds import REMOVED as NO_FOLD
from ab_assets.splits.folds import assign_folds
from ab_assets.splits.graph import group_links, row_numbers
from ab_assets.tables import REMOVED, ROLES, conform

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Benchmark

TEST_FILE_FOLD = -1
_LOOSER = (0.05, 0.1)


@dataclass(frozen=True, slots=True)
class Division:
    """roles: ROLES; removed: REMOVED, rows that take part in no fit; summary: counts for people."""

    roles: pl.DataFrame
    removed: pl.DataFrame
    summary: dict[str, Any]


def make_split(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark) -> Division:
    """Return the division of CURATED `rows` (selected, labelled) that the benchmark declares.

    `edges`: EDGES at the declared bounds. Fit i tests fold i, validates fold i + 1 and trains on the rest (policy time:
    on older folds only, so there are at most folds - 2 fits); rows of `test_files` are tested by every fit instead.
    Where the certificate is enforced and the policy does not itself keep similar rows apart, rows too similar to a test
    row leave training and validation, and rows too similar to a validation row leave training ("guard-band"). Raises
    InfeasibleSplitError when that costs any fit more than `max_removed` of the rows, BadInputError when the data lack
    what the policy needs.
    """
    rows = in_canonical_order(rows)
    split = benchmark.split
    near = _neighbours(rows, edges, benchmark)
    if split.policy == "published":
        declared, lost = _published(rows, edges, benchmark), pl.DataFrame()
    else:
        declared, lost = _folded(rows, edges, near, benchmark)
    roles = _guarded(near, declared) if split.certificate == "enforce" else declared
    unused = rows.join(roles.select("row_id").unique(), on="row_id", how="anti").select("row_id")
    separated = set(lost["row_id"]) if lost.height else set()
    reason = (
        pl.when(pl.col("row_id").is_in(list(separated)))
        .then(pl.lit("removed_to_separate"))
        .otherwise(pl.lit("guard-band"))
    )
    removed = conform(unused.with_columns(reason=reason, detail=pl.lit(None, dtype=pl.String)).sort("row_id"), REMOVED)
    guarded = (declared.height - declared.join(roles, on=["fit", "row_id"], how="semi").height) and (
        declared.join(roles, on=["fit", "row_id"], how="anti").group_by("fit").len()["len"].max()
    )
    share = removed.height / max(rows.height, 1)
    if share > split.max_removed:
        raise InfeasibleSplitError(
            what=f"keeping the folds apart would remove {share:.1%} of the rows",
            where=f"{benchmark.name}: split",
            expected=f"at most max_removed = {split.max_removed:.0%}",
            hint=_options(rows, edges, benchmark),
        )
    _require_classes(rows, edges, roles, benchmark)
    return Division(roles, removed, _summary(rows, roles, removed))


def in_canonical_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in an order that follows from their sequences alone, not from names or places in a file."""
    keys = [
        hashlib.sha256("|".join(text or "" for text in row).encode()).hexdigest()
        for row in rows.select("vh", "vl", "entry", "subject_id").iter_rows()
    ]
    return rows.with_columns(pl.Series("_key", keys)).sort("_key", "row_id").drop("_key")


def _folded(
    rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark, fixed: np.ndarray
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return ROLES and the rows that were removed to keep folds apart."""
    split = benchmark.split
    free = rows.filter(~fixed)
    fold = _folds(free, edges, benchmark)
    placed = free.select("row_id", pl.Series("home", fold))
    lost, placed = placed.filter(pl.col("home") == NO_FOLD), placed.filter(pl.col("home") != NO_FOLD)
    tested = rows.filter(fixed).select("row_id", home=pl.lit(TEST_FILE_FOLD, dtype=pl.Int64))
    parts = []
    for fit in range(split.fit_count):
        test = TEST_FILE_FOLD if tested.height else fit
        validation = fit if tested.height else (fit + 1) % split.folds
        role = (
            pl.when(pl.col("home") == test)
            .then(pl.lit("test"))
            .when(pl.col("home") == validation)
            .then(pl.lit("validation"))
            .otherwise(pl.lit("train"))
        )
        every = pl.concat([placed, tested]).with_columns(role=role, fit=pl.lit(fit), fold=pl.col("home"))
        parts.append(conform(every.drop("home"), ROLES))
    return pl.concat(parts).sort("fit", "row_id"), lost.select("row_id")


def _folds(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark) -> np.ndarray:
    split = benchmark.split
    strata = rows["label"].fill_null(value=False).cast(pl.Int64).to_numpy()
    none = np.empty(0, dtype=np.int64)
    if split.policy == "time":
        return _by_date(rows, benchmark)
    if split.policy == "group" and rows["subject_id"].null_count():
        raise BadInputError(
            what="policy group needs a subject_id for every row",
            where=f"{benchmark.name}: split",
            found=f"{rows['subject_id'].null_count()} rows without one",
            hint="Name the column under [columns] subject_id.",
        )
    if split.policy == "identity":
        left, right = row_numbers(rows, edges)
        units = _units(rows, ("entry",))
    else:
        left, right = none, none
        units = _units(rows, ("entry", "subject_id") if split.policy == "group" else ())
    return assign_folds(left, right, strata=strata, units=units, folds=split.folds)


def _units(rows: pl.DataFrame, groups: tuple[str, ...]) -> np.ndarray:
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    first, member = group_links(rows, groups)
    matrix = coo_array((np.ones(len(first), dtype=np.int8), (first, member)), shape=(rows.height, rows.height))
    _, component = connected_components(matrix.tocsr(), directed=False)
    return np.asarray(component, dtype=np.int64)


def _by_date(rows: pl.DataFrame, benchmark: Benchmark) -> np.ndarray:
    """Return folds by date: the newest rows are fold 0 (test), those before them fold 1 (validation)."""
    if rows["date"].null_count():
        raise BadInputError(
            what="policy time needs a date for every row",
            where=f"{benchmark.name}: split",
            found=f"{rows['date'].null_count()} rows without one",
            hint="Name the column under [columns] date; dates as YYYY-MM-DD.",
        )
    rank = rows["date"].rank("dense", descending=True).to_numpy() - 1
    order = np.argsort(rank, kind="stable")
    fold = np.empty(rows.height, dtype=np.int64)
    fold[order] = np.arange(rows.height) * benchmark.split.folds // rows.height
    for value in np.unique(rank):  # rows of one day stay together
        fold[rank == value] = fold[rank == value].min()
    return fold


def _published(rows: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Return ROLES of the one fit that the data declare; without a validation part one is cut from training."""
    parts = rows["part"].fill_null("").to_numpy()
    roles = pl.DataFrame({"fit": 0, "row_id": rows["row_id"], "role": parts, "fold": 0}, schema_overrides=ROLES)
    if "validation" not in parts:
        train = rows.filter(pl.col("part") == "train")
        left, right = row_numbers(train, edges)
        strata = train["label"].fill_null(value=False).cast(pl.Int64).to_numpy()
        fold = assign_folds(left, right, strata=strata, units=_units(train, ("entry",)), folds=5)
        chosen = train["row_id"].filter(pl.Series(fold == 0)).to_list()
        role = pl.when(pl.col("row_id").is_in(chosen)).then(pl.lit("validation")).otherwise(pl.col("role"))
        roles = roles.with_columns(role=role)
    return conform(roles.filter(pl.col("role") != ""), ROLES).sort("fit", "row_id")


def _guarded(rows: pl.DataFrame, edges: pl.DataFrame, roles: pl.DataFrame) -> pl.DataFrame:
    """Return ROLES without the rows that are tied to a row which ranks higher: test, then validation, then training."""
    both = pl.concat([edges.select("left", "right"), edges.select(left="right", right="left")])
    both = pl.concat([both, *(_tied(rows, column) for column in ("entry",))]).unique()
    rank = pl.col("role").replace_strict({"test": 2, "validation": 1, "train": 0}, return_dtype=pl.Int64)
    ranked = roles.with_columns(rank=rank)
    for high in (2, 1):
        top = ranked.filter(pl.col("rank") == high).select("fit", left="row_id")
        near = top.join(both, on="left").select("fit", row_id="right").unique()
        lower = ranked.filter(pl.col("rank") < high).join(near, on=["fit", "row_id"], how="semi")
        ranked = ranked.join(lower.select("fit", "row_id"), on=["fit", "row_id"], how="anti")
    return conform(ranked.drop("rank"), ROLES).sort("fit", "row_id")


def _tied(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    one = rows.drop_nulls(column).select("row_id", column)
    return one.rename({"row_id": "left"}).join(one.rename({"row_id": "right"}), on=column).select("left", "right")


def _require_classes(rows: pl.DataFrame, edges: pl.DataFrame, roles: pl.DataFrame, benchmark: Benchmark) -> None:
    for fit in range(benchmark.split.fit_count):
        for role in ("train", "validation", "test"):
            chosen = roles.filter((pl.col("fit") == fit) & (pl.col("role") == role)).select("row_id")
            labels = rows.join(chosen, on="row_id", how="semi")
            if not labels.height or (benchmark.task == "antigen-specificity" and labels["label"].n_unique() < 2):
                raise InfeasibleSplitError(
                    what=f"fit {fit} has no {role} rows" if not labels.height else f"fit {fit} has one class in {role}",
                    where=f"{benchmark.name}: split",
                    found=f"{labels.height} rows",
                    expected="rows of both classes",
                    hint=_options(rows, edges, benchmark),
                )


def _options(rows: pl.DataFrame, edges: pl.DataFrame, benchmark: Benchmark) -> str:
    """Return what looser bounds would cost, as advice; nothing is relaxed by itself."""
    if benchmark.split.policy != "identity":
        return "Loosen the bounds under [split] identity, raise max_removed, or say certificate = 'report'."
    advice = []
    for step in _LOOSER:
        raised = {by: None if b is None else min(1.0, b + step) for by, b in benchmark.split.identity}
        limit = pl.col("by").replace_strict(
            {k: v for k, v in raised.items() if v}, default=1.0, return_dtype=pl.Float64
        )
        left, right = row_numbers(rows, edges.filter(pl.col("identity") >= limit))
        strata = rows["label"].fill_null(value=False).cast(pl.Int64).to_numpy()
        fold = assign_folds(left, right, strata=strata, units=_units(rows, ("entry",)), folds=benchmark.split.folds)
        shown = ", ".join(f"{by} = {value:.2f}" for by, value in raised.items() if value)
        advice.append(f"{shown} would remove {np.mean(fold == NO_FOLD):.1%}")
    return f"{'; '.join(advice)}. Or raise max_removed, or use fewer folds."


def _summary(rows: pl.DataFrame, roles: pl.DataFrame, removed: pl.DataFrame) -> dict[str, Any]:
    return {
        "fits": roles["fit"].n_unique(),
        "used": roles["row_id"].n_unique(),
        "removed_to_separate": removed.filter(pl.col("reason") == "removed_to_separate").height,
        "removed_by_guard_band": removed.filter(pl.col("reason") == "guard-band").height,
        "removed_share": round(removed.height / max(rows.height, 1), 4),
    }
