"""Which antibodies are new, gone, labelled or numbered otherwise in one version of the data than in another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

_LABELS = ("label", "vh_paratope", "vl_paratope")
_POSITIONS = ("vh_positions", "vl_positions")
_OTHERS = ("sequence_id", "cdrh3", "subject_id", "part", "date", "v_call", "j_call", "annotations")
_PLACE = "place"


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """Each table has row_id and sequence_id, as the newer version has them (removed: as the older one had them).

    relabelled has `was` and `now`: labels, or of residues how many touch; `others` counts, by column, the rows in which
    something changed that is neither label nor position. kept counts the rows that are in both.
    """

    added: pl.DataFrame
    removed: pl.DataFrame
    relabelled: pl.DataFrame
    renumbered: pl.DataFrame
    kept: int
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are added, removed, relabelled, renumbered, kept; those changed in another way by column."""
        tables = {name: getattr(self, name).height for name in ("added", "removed", "relabelled", "renumbered")}
        return tables | {"kept": self.kept} | {f"changed {name}": count for name, count in self.others.items()}


def changed_rows(old: pl.DataFrame, new: pl.DataFrame) -> ChangedRows:
    """Return how the CURATED table `new` differs from `old`.

    A row is the same row when its row_id is. A row_id holds the labels of residues and the part of a published split,
    so rows that are left over are the same, too, when entry and both sequences are; several such are taken in order.
    """
    same = _paired(old, new, ["row_id"])
    left = _without(old, same, "old_id"), _without(new, same, "new_id")
    both = pl.concat([same, _by_sequence(*left)])
    wide = (
        both.join(old.rename({name: f"old_{name}" for name in old.columns}), left_on="old_id", right_on="old_row_id")
        .join(new, left_on="new_id", right_on="row_id")
        .rename({"new_id": "row_id"})
    )
    others = {name: wide.filter(_differs(name)).height for name in _OTHERS}
    relabelled = wide.filter(pl.any_horizontal(_differs(name) for name in _LABELS))
    return ChangedRows(
        added=_named(_without(new, both, "new_id")),
        removed=_named(_without(old, both, "old_id")),
        relabelled=_named(relabelled, was=_label_text("old_"), now=_label_text("")),
        renumbered=_named(wide.filter(pl.any_horizontal(_differs(name) for name in _POSITIONS))),
        kept=both.height,
        others={name: count for name, count in others.items() if count},
    )


def _paired(old: pl.DataFrame, new: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return (old_id, new_id) of the rows with equal keys; nulls are equal."""
    left, right = old.select(*keys, old_id="row_id"), new.select(*keys, new_id="row_id")
    return left.join(right, on=keys, how="inner", nulls_equal=True).select("old_id", "new_id")


def _without(rows: pl.DataFrame, pairs: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.join(pairs, left_on="row_id", right_on=name, how="anti")


def _by_sequence(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    # the entry tells complexes apart; of antigen specificity a changed entry is a change like any other
    keys = ["vh", "vl"] if old["label"].count() + new["label"].count() else ["entry", "vh", "vl"]
    place = pl.int_range(pl.len()).over(keys).alias(_PLACE)
    return _paired(old.with_columns(place), new.with_columns(place), [*keys, _PLACE])


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(f"old_{name}"))


def _label_text(prefix: str) -> pl.Expr:
    label = pl.col(f"{prefix}label").replace_strict({True: "positive", False: "negative"}, return_dtype=pl.String)
    residues = [pl.col(f"{prefix}{name}").list.sum() for name in ("vh_paratope", "vl_paratope")]
    touching = pl.format("{} residues touch", pl.sum_horizontal(residues))
    known = pl.any_horizontal(residue.is_not_null() for residue in residues)
    return pl.coalesce(label, pl.when(known).then(touching), pl.lit("unlabelled"))


def _named(rows: pl.DataFrame, **columns: Any) -> pl.DataFrame:  # noqa: ANN401 - expressions by name
    return rows.sort("sequence_id", "row_id").select("row_id", "sequence_id", **columns)
