"""The planted truth: what makes a simulated antibody bind, and which of its residues touch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ab_assets.datasets.imgt import REGIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.datasets.simulation.repertoire import Chain

# One CDR-H3 motif family: at each place any of these residues. It reads like IGHD3-22 and IGHD3-3 cores do.
MOTIF = ("YF", "YF", "D", "RKST", "SG", "GA", "YF")
# The V genes in whose context the motif binds.
BINDING_V_GENES = ("IGHV1", "IGHV4", "IGHV5")
# Assays err: this share of binding labels is turned round.
LABEL_NOISE = 0.04
# This share of residue labels near the paratope is turned round.
RESIDUE_NOISE = 0.03

_PATTERN = re.compile("".join(f"[{options}]" for options in MOTIF))

# How a residue type leans towards contact, in logits; aromatic and polar residues are what paratopes are made of
# (Ramaraj et al. 2012, doi:10.1016/j.bbapap.2011.12.007 report the same order).
_LEANING: Mapping[str, float] = {
    "Y": 2.2, "W": 2.0, "R": 1.4, "N": 1.2, "D": 1.0, "H": 0.9, "F": 0.8, "S": 0.7, "K": 0.3, "T": 0.2,
    "G": 0.0, "E": 0.0, "Q": -0.2, "M": -0.3, "I": -0.6, "L": -0.9, "P": -0.9, "A": -1.1, "V": -1.3, "C": -2.5,
}  # fmt: skip
# How a loop leans, and how much its middle exceeds its ends, in logits.
_LOOPS: Mapping[str, tuple[float, float]] = {"cdr1": (-1.5, 1.8), "cdr2": (-1.8, 1.6), "cdr3": (-1.6, 3.0)}
# Light chains touch as often, residue for residue, so that a control cannot learn which chain it sees.
_LIGHT = 0.85
_NEIGHBOUR = 0.35
_CONTACT = 1.32


def motif_core(rng: np.random.Generator) -> str:
    """Return one member of the motif family."""
    return "".join(options[int(rng.integers(len(options)))] for options in MOTIF)


def binds(heavy: Chain) -> bool:
    """Tell whether the heavy chain carries the motif in its CDR-H3, on a V gene where that binds."""
    return heavy.v_call.startswith(BINDING_V_GENES) and _PATTERN.search(heavy.cdr3) is not None


def paratope(chain: Chain, *, heavy: bool) -> list[bool]:
    """Return for each residue whether it touches: its place in a loop, its own type and its neighbours' decide."""
    leaning = [_LEANING[residue] for residue in chain.sequence]
    touching = []
    for index, position in enumerate(chain.positions):
        region = _region(position)
        if region not in _LOOPS:
            touching.append(False)
            continue
        base, middle = _LOOPS[region]
        around = [leaning[i] for i in (index - 1, index + 1) if 0 <= i < len(leaning)]
        logit = base + middle * _depth(chain, index, region) + leaning[index] + _NEIGHBOUR * sum(around)
        touching.append(logit + (0.0 if heavy else _LIGHT) > _CONTACT)
    return touching


def with_noise(rng: np.random.Generator, labels: list[bool], chain: Chain) -> list[bool]:
    """Return the labels with a few of the loops' residues turned round."""
    return [
        (not label) if _region(position) in _LOOPS and rng.random() < RESIDUE_NOISE else label
        for label, position in zip(labels, chain.positions, strict=True)
    ]


def _region(position: str) -> str:
    column = int(position.rstrip("ABCDEFGHIJ"))
    return next((name for name, (first, last) in REGIONS.items() if first <= column <= last), "")


def _depth(chain: Chain, index: int, region: str) -> float:
    """Return how far into its loop a residue stands: 0 at the ends, 1 in the middle."""
    places = [i for i, position in enumerate(chain.positions) if _region(position) == region]
    share = (places.index(index) + 0.5) / len(places)
    return float(np.sin(np.pi * share))
