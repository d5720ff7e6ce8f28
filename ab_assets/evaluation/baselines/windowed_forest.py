"""A random forest on each residue's neighbours in the sequence and its place: what the local sequence tells."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from sklearn.ensemble import RandomForestClassifier

from ab_assets.datasets import imgt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ab_assets.evaluation.baselines.fitting import FitItems, Scores

# Residues on each side of the one that is scored.
REACH = 8

TREES = 100
SMALLEST_LEAF = 3

# Residues a tree is grown on at most: it bounds the time on large data.
RESIDUES_PER_TREE = 200_000

# Hydropathy (Kyte & Doolittle 1982, J. Mol. Biol. 157:105), volume in cubic angstrom (Zamyatnin 1972, Prog. Biophys.
# Mol. Biol. 24:107) and charge at pH 7.
PROPERTIES = {
    "A": (1.8, 88.6, 0),
    "C": (2.5, 108.5, 0),
    "D": (-3.5, 111.1, -1),
    "E": (-3.5, 138.4, -1),
    "F": (2.8, 189.9, 0),
    "G": (-0.4, 60.1, 0),
    "H": (-3.2, 153.2, 0),
    "I": (4.5, 166.7, 0),
    "K": (-3.9, 168.6, 1),
    "L": (3.8, 166.7, 0),
    "M": (1.9, 162.9, 0),
    "N": (-3.5, 114.1, 0),
    "P": (-1.6, 112.7, 0),
    "Q": (-3.5, 143.8, 0),
    "R": (-4.5, 173.4, 1),
    "S": (-0.8, 89.0, 0),
    "T": (-0.7, 116.1, 0),
    "V": (4.2, 140.0, 0),
    "W": (-0.9, 227.8, 0),
    "Y": (-1.3, 193.6, 0),
}

# Rows of the table of properties: the amino acids, X, and what lies beyond the ends of a chain. The last two are
# outside the range of every amino acid, so that a tree can tell them apart.
_CODES = {amino_acid: code for code, amino_acid in enumerate(PROPERTIES)}
_X, _BEYOND = len(_CODES), len(_CODES) + 1
_TABLE = np.array([*PROPERTIES.values(), (-10, -10, -10), (-20, -20, -20)], dtype=np.float32)

_LAST = imgt.REGIONS["fwr4"][1] - 1  # the last standard IMGT position, 128


def windowed_forest(items: FitItems) -> Scores:
    """Return the share of trees' votes for paratope, from the residues up to 8 away, the chain and the position.

    A residue without an IMGT position is placed on the same scale by its relative place along the chain.
    """
    forest = RandomForestClassifier(
        TREES,
        min_samples_leaf=SMALLEST_LEAF,
        max_features="sqrt",
        max_samples=min(items.train.height, RESIDUES_PER_TREE),
        random_state=items.seed,
        n_jobs=items.workers,
    )
    with warnings.catch_warnings():  # scikit-learn's threads each reset the filters, and may leave none behind
        forest.fit(features(items.train), items.labels)
    # threads add up the trees' votes in the order in which they finish, which the last digit shows
    forest.set_params(n_jobs=1)
    validation, test = (forest.predict_proba(features(part))[:, 1] for part in (items.validation, items.test))
    return validation, test


def features(residues: pl.DataFrame) -> NDArray[np.float32]:
    """Return (residue, feature) float32 of RESIDUES: properties of the window from -8 to +8, place, chain is vh.

    Every chain in `residues` is complete and in order.
    """
    codes = residues["amino_acid"].replace_strict(_CODES, default=_X, return_dtype=pl.Int64).to_numpy()
    residue, length = residues["residue"].to_numpy(), residues["length"].to_numpy()
    index = np.arange(len(codes))
    columns = []
    for step in range(-REACH, REACH + 1):
        inside = (residue + step >= 0) & (residue + step < length)
        columns.append(_TABLE[np.where(inside, codes[np.where(inside, index + step, 0)], _BEYOND)])
    known = {position: place_of(position) for position in residues["position"].drop_nulls().unique()}
    relative = 1 + pl.col("residue") * (_LAST - 1) / (pl.col("length") - 1).clip(1)
    place = residues.select(
        pl.col("position").replace_strict(known, default=None, return_dtype=pl.Float64).fill_null(relative),
        (pl.col("chain") == "vh").cast(pl.Float64).alias("is_vh"),
    )
    return np.hstack([*columns, place.to_numpy().astype(np.float32)])


def place_of(position: str) -> float:
    """Return an IMGT position as a number that ascends along the chain: insertions lie between their neighbours."""
    number, insertion = imgt.sort_key(position)
    return number + insertion / 100
