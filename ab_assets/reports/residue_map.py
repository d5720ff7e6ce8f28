"""Predicted against true paratope residues of a few antibodies, letter by letter and region by region."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ab_assets.datasets.imgt import region_of
from ab_assets.reports import wording

# One row per residue of the antibodies shown. residue counts from 0; threshold is that of the fit that made the score.
RESIDUES = pl.Schema(
    {
        "row_id": pl.String,
        "sequence_id": pl.String,
        "chain": pl.String,
        "residue": pl.Int64,
        "position": pl.String,
        "amino_acid": pl.String,
        "label": pl.Boolean,
        "score": pl.Float64,
        "threshold": pl.Float64,
        "mcc": pl.Float64,
    }
)

STATES = {
    "hit": "in the paratope and predicted",
    "miss": "in the paratope, not predicted",
    "false": "predicted, not in the paratope",
    "unseen": "beyond what the model can see",
    "rest": "neither",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One residue: its letter, its state (a key of STATES) and what the pointer shows."""

    letter: str
    state: str
    title: str


@dataclass(frozen=True, slots=True)
class RegionCells:
    """The residues of one IMGT region, in order; `name` is empty where positions are not known."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ChainMap:
    """One chain of one antibody; `mcc` is that of the whole antibody at the stored threshold."""

    antibody: str
    chain: str
    mcc: str
    regions: tuple[RegionCells, ...]


def residue_map(residues: pl.DataFrame) -> tuple[ChainMap, ...]:
    """Return the chains of a RESIDUES table in its order of antibodies, heavy chain first."""
    maps = []
    for (_, chain), rows in residues.sort("residue", maintain_order=True).group_by(
        "row_id", "chain", maintain_order=True
    ):
        first = rows.row(0, named=True)
        regions: list[tuple[str, list[Cell]]] = []
        for row in rows.iter_rows(named=True):
            name = wording.REGION_NAMES[region_of(row["position"])] if row["position"] else ""
            if not regions or regions[-1][0] != name:
                regions.append((name, []))
            regions[-1][1].append(_cell(row))
        maps.append(
            (
                residues["row_id"].index_of(first["row_id"]) or 0,
                ChainMap(
                    antibody=first["sequence_id"] or first["row_id"],
                    chain=str(chain),
                    mcc=wording.number(first["mcc"], digits=2),
                    regions=tuple(RegionCells(name, tuple(cells)) for name, cells in regions),
                ),
            )
        )
    return tuple(chain_map for _, chain_map in sorted(maps, key=lambda item: (item[0], item[1].chain)))


def _cell(row: dict[str, object]) -> Cell:
    score, threshold = row["score"], row["threshold"]
    if not isinstance(score, float) or not isinstance(threshold, float):
        state = "unseen"
    elif score >= threshold:
        state = "hit" if row["label"] else "false"
    else:
        state = "miss" if row["label"] else "rest"
    where = f"IMGT {row['position']}" if row["position"] else f"residue {int(str(row['residue'])) + 1}"
    shown = wording.number(score if isinstance(score, float) else None, digits=2)
    return Cell(str(row["amino_acid"]), state, f"{where} {row['amino_acid']}: score {shown}; {STATES[state]}")
