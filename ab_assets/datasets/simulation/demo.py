"""The two demo data sets: paired antibodies of clonal families, with the labels that the planted rules give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ab_assets.datasets.simulation.germlines import IGHD_FRAMES, IGHV
from ab_assets.datasets.simulation.repertoire import (
    FOUNDER_LOAD,
    MEMBER_LOAD,
    Antibody,
    Chain,
    choose,
    draw_heavy,
    draw_light,
    mutate,
)
from ab_assets.datasets.simulation.rules import BINDING_V_GENES, LABEL_NOISE, binds, motif_core, paratope, with_noise
from ab_assets.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DONORS = 8
SPECIFICITY_ANTIBODIES = 400
PARATOPE_ANTIBODIES = 90
_SEEDS = {"demo-specificity": 25, "demo-paratope": 23}

# How large clonal families are, and how often.
_FAMILY_SIZES = (1, 2, 3, 4)
_FAMILY_WEIGHTS = (0.45, 0.25, 0.15, 0.15)

# Founders: the motif on a V gene where it binds; the motif elsewhere; its residues in another order; any other CDR-H3.
_KINDS = ("binder", "other-context", "scrambled", "other")
_KIND_WEIGHTS = (0.42, 0.06, 0.20, 0.32)


def simulate_specificity(seed: int, antibodies: int) -> pl.DataFrame:
    """Return one row per antibody: sequences, IMGT positions, donor, `binds` (yes | no), noiseless `true_binds`."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, antibody in enumerate(_repertoire(rng, antibodies)):
        truth = binds(antibody.heavy)
        label = truth if rng.random() >= LABEL_NOISE else not truth
        rows.append(
            {
                "sequence_id": f"sim-{index:04d}",
                "heavy": antibody.heavy.sequence,
                "light": antibody.light.sequence,
                "binds": "yes" if label else "no",
                "donor": f"donor-{antibody.donor}",
                "v_call": antibody.heavy.v_call,
                "j_call": antibody.heavy.j_call,
                "heavy_imgt": " ".join(antibody.heavy.positions),
                "light_imgt": " ".join(antibody.light.positions),
                "true_binds": "yes" if truth else "no",
            }
        )
    return pl.DataFrame(rows)


def simulate_paratope(seed: int, antibodies: int) -> pl.DataFrame:
    """Return one row per chain: entry, chain (heavy | light), sequence, IMGT positions, residue labels as 0 and 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, antibody in enumerate(_repertoire(rng, antibodies)):
        for name, chain in (("heavy", antibody.heavy), ("light", antibody.light)):
            labels = with_noise(rng, paratope(chain, heavy=name == "heavy"), chain)
            rows.append(
                {
                    "entry": f"sim{index:03d}",
                    "chain": name,
                    "sequence": chain.sequence,
                    "imgt": " ".join(chain.positions),
                    "paratope": "".join("1" if label else "0" for label in labels),
                }
            )
    return pl.DataFrame(rows)


def write_demo(name: str, directory: Path) -> None:
    """Write the source files of a demo benchmark; the same bytes every time. Raises UnknownNameError."""
    directory.mkdir(parents=True, exist_ok=True)
    if name == "demo-specificity":
        simulate_specificity(_SEEDS[name], SPECIFICITY_ANTIBODIES).write_csv(directory / "antibodies.csv")
    elif name == "demo-paratope":
        simulate_paratope(_SEEDS[name], PARATOPE_ANTIBODIES).write_csv(directory / "chains.csv")
    else:
        raise UnknownNameError(what=f"there is no demo {name!r}", expected="demo-specificity or demo-paratope")


def _repertoire(rng: np.random.Generator, antibodies: int) -> Iterator[Antibody]:
    """Yield `antibodies` distinct antibodies, family by family."""
    seen: set[str] = set()
    family = 0
    while True:
        heavy, light = _founder(rng)
        donor = int(rng.integers(DONORS))
        for member in range(int(rng.choice(_FAMILY_SIZES, p=_FAMILY_WEIGHTS))):
            first = member == 0
            one = Antibody(
                heavy if first else mutate(rng, heavy, MEMBER_LOAD),
                light if first else mutate(rng, light, MEMBER_LOAD),
                donor,
                family,
            )
            if one.heavy.sequence in seen:
                continue
            seen.add(one.heavy.sequence)
            yield one
            if len(seen) == antibodies:
                return
        family += 1


def _founder(rng: np.random.Generator) -> tuple[Chain, Chain]:
    kind = str(rng.choice(_KINDS, p=_KIND_WEIGHTS))
    binding = [gene for gene in IGHV if gene.name.startswith(BINDING_V_GENES)]
    elsewhere = [gene for gene in IGHV if not gene.name.startswith(BINDING_V_GENES)]
    core, keep = motif_core(rng), ""
    v_genes = {"binder": binding, "other-context": elsewhere, "scrambled": binding, "other": list(IGHV)}[kind]
    if kind in ("binder", "other-context"):
        keep = core
    elif kind == "scrambled":
        core = "".join(rng.permutation(list(core)))
    else:
        core = _segment(rng)
    heavy = mutate(rng, draw_heavy(rng, core, v_genes=v_genes), FOUNDER_LOAD, keep=keep)
    return heavy, mutate(rng, draw_light(rng), FOUNDER_LOAD)


def _segment(rng: np.random.Generator) -> str:
    frame = choose(rng, tuple(IGHD_FRAMES.values()))
    length = min(len(frame), int(rng.integers(3, 8)))
    start = int(rng.integers(len(frame) - length + 1))
    return frame[start : start + length]
