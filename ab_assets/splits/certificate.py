"""The proof that nothing leaks: every test and validation row against every training row, exactly.

It shares with the graph and the folds nothing but the definition of identity.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from ab_assets.errors import CorruptArtifactError, LeakageError
from ab_assets.splits.identity import Kind, pairwise_maximum
from ab_assets.tables import NEAREST, conform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.benchmarks.schema import Split

_MEASURES: tuple[Kind, ...] = ("vh", "vl", "cdrh3")
_GROUPS = ("entry", "subject_id")
# Light chains of pairs in which one row has no VH; gated by the bound of VH where VL has none of its own.
_ALONE = "vl-alone"
_SHOWN = 5
# The identity that readers are told the share of rows for, whatever is gated.
NEARLY_SEEN = 0.9


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was compared and what came out.

    nearest: NEAREST. bounds: measure -> bound, None where it is reported only; "entry" and "subject_id" are bounds on
    sharing a group. digest binds rows, roles and bounds. over: test and validation rows at or above a bound. maxima:
    per fit, role and measure the highest identity to a training row, and the share of rows at NEARLY_SEEN or above.
    """

    policy: str
    bounds: dict[str, float | None]
    enforced: bool
    passed: bool
    over: int
    digest: str
    maxima: tuple[dict[str, Any], ...]
    nearest: pl.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Return everything but the table, JSON-able. `maximum`: over test rows of all fits, by measure."""
        tests = [item for item in self.maxima if item["role"] == "test"]
        return {
            "policy": self.policy,
            "bounds": self.bounds,
            "enforced": self.enforced,
            "passed": self.passed,
            "rows_over_bound": self.over,
            "digest": self.digest,
            "maxima": list(self.maxima),
            "maximum": {
                by: max(item["identity"] for item in tests if item["by"] == by)
                for by in sorted({item["by"] for item in tests})
            },
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the certificate that `to_json` wrote, without its table. Raises CorruptArtifactError."""
        try:
            return cls(
                policy=value["policy"],
                bounds=value["bounds"],
                enforced=value["enforced"],
                passed=value["passed"],
                over=value["rows_over_bound"],
                digest=value["digest"],
                maxima=tuple(value["maxima"]),
                nearest=NEAREST.to_frame(),
            )
        except (KeyError, TypeError) as error:
            raise CorruptArtifactError(what=f"this is no certificate: {error}", hint="Make the split again.") from error


def certify(rows: pl.DataFrame, roles: pl.DataFrame, split: Split, *, workers: int = 1) -> Certificate:
    """Return the certificate of ROLES over CURATED `rows`, passed or not; rows without a role do not count."""
    rows = _used(rows, roles)
    bounds = _bounds(rows, split)
    nearest = _nearest(rows, roles, dict.fromkeys((*_MEASURES, *bounds), 0.0), workers)
    over = _over(nearest, bounds)
    highest, share = pl.col("identity").max(), (pl.col("identity") >= NEARLY_SEEN).mean().alias("share_nearly_seen")
    grouped = nearest.group_by("fit", "role", "by").agg(highest, share).sort("fit", "role", "by")
    return Certificate(
        policy=split.policy,
        bounds=bounds,
        enforced=split.certificate == "enforce",
        passed=not over.height,
        over=over.select("fit", "row_id").unique().height,
        digest=_digest(rows, roles, bounds, enforced=split.certificate == "enforce"),
        maxima=tuple(grouped.iter_rows(named=True)),
        nearest=nearest,
    )


def require_certificate(
    rows: pl.DataFrame, roles: pl.DataFrame, certificate: Certificate, split: Split, *, workers: int = 1
) -> None:
    """Compare again and return only when these rows may be trained on.

    Raises LeakageError when the certificate was given to other rows, roles or bounds, or when an enforced bound is
    reached by any test or validation row; a waived certificate only has to belong to the rows.
    """
    rows, enforced = _used(rows, roles), split.certificate == "enforce"
    bounds = _bounds(rows, split)
    gates = {by: bound for by, bound in bounds.items() if bound is not None}
    over = _over(_nearest(rows, roles, gates, workers), bounds) if enforced else NEAREST.to_frame()
    if over.height:
        count = over.select("fit", "row_id").unique().height
        raise LeakageError(
            what=f"{count} test or validation rows are too similar to training rows: {_offenders(over)}",
            where="split",
            expected=", ".join(f"{by} below {bound}" for by, bound in gates.items()),
            hint="Nothing was trained. Materialize split again, or loosen the bound in benchmark.toml and say why.",
        )
    digest = _digest(rows, roles, bounds, enforced=enforced)
    if digest != certificate.digest:
        raise LeakageError(
            what="the certificate was not given to these rows, roles and bounds",
            where="split",
            found=f"digest {digest[:16]}",
            expected=f"digest {certificate.digest[:16]}",
            hint="Nothing was trained. Someone changed the data or the split; materialize split again.",
        )


def _bounds(rows: pl.DataFrame, split: Split) -> dict[str, float | None]:
    identity = split.identity
    lonely = bool(rows["vh"].null_count()) and identity.vh is not None
    bounds: dict[str, float | None] = {
        "vh": identity.vh,
        "vl": identity.vl if identity.vl is not None or not lonely else None,
        "cdrh3": identity.cdrh3,
    }
    if lonely and identity.vl is None:
        bounds[_ALONE] = identity.vh
    if rows["entry"].null_count() < rows.height:
        bounds["entry"] = 1.0
    if split.policy == "group" and rows["subject_id"].null_count() < rows.height:
        bounds["subject_id"] = 1.0
    return bounds


def _used(rows: pl.DataFrame, roles: pl.DataFrame) -> pl.DataFrame:
    return rows.join(roles.select("row_id").unique(), on="row_id", how="semi").sort("row_id")


def _nearest(rows: pl.DataFrame, roles: pl.DataFrame, floors: Mapping[str, float], workers: int) -> pl.DataFrame:
    """Return NEAREST by the measures in `floors`; what lies below a measure's floor may be returned as 0."""
    parts = [NEAREST.to_frame()]
    for fit in sorted(roles["fit"].unique()):
        chosen = roles.filter(pl.col("fit") == fit)
        train = rows.join(chosen.filter(pl.col("role") == "train").select("row_id"), on="row_id", how="semi")
        for role in ("validation", "test"):
            held = rows.join(chosen.filter(pl.col("role") == role).select("row_id"), on="row_id", how="semi")
            for by, floor in floors.items():
                found = _compare(held, train, by, floor, workers)
                parts.append(conform(found.with_columns(fit=pl.lit(fit), role=pl.lit(role), by=pl.lit(by)), NEAREST))
    return pl.concat(parts)


def _compare(held: pl.DataFrame, train: pl.DataFrame, by: str, floor: float, workers: int) -> pl.DataFrame:
    """Return (row_id, identity, nearest_row_id) of the held-out rows that have what `by` compares."""
    if by in _GROUPS:
        first = train.drop_nulls(by).group_by(by).agg(nearest_row_id=pl.col("row_id").min())
        found = held.drop_nulls(by).join(first, on=by, how="left", maintain_order="left")
        shared = pl.col("nearest_row_id").is_not_null().cast(pl.Float64).alias("identity")
        return found.select("row_id", shared, "nearest_row_id")
    if by == _ALONE:
        alone = pl.col("vh").is_null()
        pairs = ((held.filter(alone), train), (held.filter(~alone), train.filter(alone)))
        return pl.concat([_compare(one, other, "vl", floor, workers) for one, other in pairs])
    kind: Kind = "cdrh3" if by == "cdrh3" else "vl" if by == "vl" else "vh"
    held, targets = held.drop_nulls(kind), train.drop_nulls(kind)
    nearest = pairwise_maximum(
        held[kind].to_list(), targets[kind].to_list(), kind=kind, workers=workers, at_least=floor
    )
    names = targets["row_id"].to_list()
    return pl.DataFrame(
        {
            "row_id": held["row_id"],
            "identity": nearest.identity,
            "nearest_row_id": [names[int(index)] if index >= 0 else None for index in nearest.target],
        },
        schema={"row_id": pl.String, "identity": pl.Float64, "nearest_row_id": pl.String},
    )


def _over(nearest: pl.DataFrame, bounds: dict[str, float | None]) -> pl.DataFrame:
    gated = {by: bound for by, bound in bounds.items() if bound is not None}
    limit = pl.col("by").replace_strict(gated, default=None, return_dtype=pl.Float64)
    return nearest.filter(pl.col("identity") >= limit)


def _offenders(over: pl.DataFrame) -> str:
    over = over.sort("identity", "row_id", descending=[True, False])
    shown_columns = ["role", "row_id", "nearest_row_id", "by", "identity"]
    shown = [
        f"{role} row {row_id} and training row {nearest} ({by} {identity:.3f})"
        for role, row_id, nearest, by, identity in over.select(shown_columns).head(_SHOWN).iter_rows()
    ]
    return "; ".join(shown) + (f"; and {over.height - _SHOWN} more" if over.height > _SHOWN else "")


def _digest(rows: pl.DataFrame, roles: pl.DataFrame, bounds: dict[str, float | None], *, enforced: bool) -> str:
    """Return a sha256 over who does what, the sequences and groups compared, and the bounds."""
    parts = (
        rows.select("row_id", "vh", "vl", "cdrh3", "subject_id", "entry").write_csv(),
        roles.sort("fit", "row_id", "role").write_csv(),
        repr(sorted(bounds.items())),
        str(enforced),
    )
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
