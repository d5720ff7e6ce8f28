"""The guard band: rows tied to a row that ranks higher leave the fit; test ranks over validation over training."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ab_assets.tables import ROLES, conform

HELD_OUT = ("test", "validation")


@dataclass(frozen=True, slots=True)
class Ties:
    """What binds rows to each other: EDGES, and the same value in one of the columns `groups` of CURATED `rows`."""

    rows: pl.DataFrame
    edges: pl.DataFrame
    groups: tuple[str, ...]

    def of(self, chosen: pl.DataFrame) -> pl.DataFrame:
        """Return the (fit, row_id) that are tied to the (fit, row_id) of `chosen`, each once."""
        both = pl.concat([self.edges.select("left", "right"), self.edges.select(left="right", right="left")])
        found = [chosen.join(both, left_on="row_id", right_on="left").select("fit", row_id="right")]
        for column in self.groups:
            member = self.rows.drop_nulls(column).select("row_id", column)
            values = chosen.join(member, on="row_id").select("fit", column).unique()
            found.append(values.join(member, on=column).select("fit", "row_id"))
        return pl.concat(found).unique()


def guarded(roles: pl.DataFrame, ties: Ties) -> pl.DataFrame:
    """Return ROLES in which, in each fit, no validation row is tied to a test row and no training row to either."""
    for place, role in enumerate(HELD_OUT):
        near = ties.of(roles.filter(pl.col("role") == role).select("fit", "row_id"))
        lower = roles.filter(~pl.col("role").is_in(HELD_OUT[: place + 1])).join(near, on=["fit", "row_id"], how="semi")
        roles = roles.join(lower, on=["fit", "row_id"], how="anti")
    return conform(roles, ROLES).sort("fit", "row_id")
