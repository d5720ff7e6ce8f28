"""Clonal families of paired antibodies: recombination, somatic mutation, and the IMGT position of every residue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ab_assets.datasets.simulation.germlines import IGHJ, IGHV, IGKJ, IGKV, IGLJ, IGLV

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from ab_assets.datasets.simulation.germlines import JGene, VGene

Gene = TypeVar("Gene")

# Amino acids of non-templated (N) nucleotides: rich in G and C, hence in G, R, P, A.
_N_ADDITIONS = "GGGGRRRRPPPAASSLLVTDEKQHW"

# Exchanges that a single nucleotide substitution makes often and that the fold tolerates; never to cysteine.
_EXCHANGES: Mapping[str, str] = {
    "A": "TVSGPD",
    "C": "SYG",
    "D": "NEGYHA",
    "E": "DQKGA",
    "F": "YLSIV",
    "G": "DASERV",
    "H": "YQNRD",
    "I": "VMTLNF",
    "K": "RNTEQ",
    "L": "VIFMPS",
    "M": "ILVTK",
    "N": "SDTKHIY",
    "P": "ASTLH",
    "Q": "HERKP",
    "R": "KSGTQ",
    "S": "NTGRAIY",
    "T": "ASNIVP",
    "V": "IAMLF",
    "W": "RGLS",
    "Y": "FHSNDT",
}

# Columns whose residue the immunoglobulin fold needs: C23, W41, hydrophobic 89, C104, W/F118, G119, G121.
_CONSERVED = frozenset({"23", "41", "89", "104", "118", "119", "121"})

_SHORTEST_CDRH3, _LONGEST_CDRH3 = 9, 22


@dataclass(frozen=True, slots=True)
class Chain:
    """One variable domain. `positions`: the IMGT position of each residue of `sequence`, in order."""

    sequence: str
    positions: tuple[str, ...]
    v_call: str
    j_call: str

    @property
    def cdr3(self) -> str:
        """The residues of columns 105 to 117."""
        return "".join(
            residue
            for residue, position in zip(self.sequence, self.positions, strict=True)
            if 105 <= int(position.rstrip("ABCDEFGHIJ")) <= 117
        )


@dataclass(frozen=True, slots=True)
class Antibody:
    """A paired antibody, the donor it was drawn from and the clonal family it belongs to (both count from 0)."""

    heavy: Chain
    light: Chain
    donor: int
    family: int


@dataclass(frozen=True, slots=True)
class MutationLoad:
    """Probability that a residue is exchanged, by where it lies: mutation gathers in CDR1 and CDR2."""

    framework: float
    cdr: float
    cdr3: float

    def at(self, position: str) -> float:
        """Return the probability for one IMGT position."""
        column = int(position.rstrip("ABCDEFGHIJ"))
        if position in _CONSERVED:
            return 0.0
        if 105 <= column <= 117:
            return self.cdr3
        return self.cdr if 27 <= column <= 38 or 56 <= column <= 65 else self.framework


# Antigen-experienced IgG differs from its germline in about a tenth of its V residues.
FOUNDER_LOAD = MutationLoad(framework=0.085, cdr=0.24, cdr3=0.0)
MEMBER_LOAD = MutationLoad(framework=0.012, cdr=0.04, cdr3=0.04)


def cdr3_positions(length: int) -> tuple[str, ...]:
    """Return the IMGT positions of a CDR3 of `length` residues (0 to 33).

    Short loops leave the columns around 111 and 112 empty; long ones insert 111A, 111B, ... and ..., 112B, 112A.
    """
    left, right = (length + 1) // 2, length // 2
    before = [str(105 + index) for index in range(min(left, 7))]
    before += [f"111{chr(ord('A') + index)}" for index in range(max(left - 7, 0))]
    after = [str(117 - index) for index in range(min(right, 6))]
    after += [f"112{chr(ord('A') + index)}" for index in range(max(right - 6, 0))]
    return (*before, *reversed(after))


def recombine(v_gene: VGene, cdr3: str, j_gene: JGene) -> Chain:
    """Return the unmutated chain of a V gene, a whole CDR3 and a J gene's FWR4."""
    positions, residues = zip(*v_gene.residues, strict=True)
    fwr4 = tuple(str(118 + index) for index in range(len(j_gene.fwr4)))
    return Chain(
        sequence="".join(residues) + cdr3 + j_gene.fwr4,
        positions=positions + cdr3_positions(len(cdr3)) + fwr4,
        v_call=v_gene.name,
        j_call=j_gene.name,
    )


def mutate(rng: np.random.Generator, chain: Chain, load: MutationLoad, *, keep: str = "") -> Chain:
    """Return the chain with somatic exchanges; a piece `keep` of its sequence stays as it is."""
    kept = range(0)
    if keep:
        start = chain.sequence.rindex(keep)
        kept = range(start, start + len(keep))
    residues = [
        _exchange(rng, residue) if index not in kept and rng.random() < load.at(position) else residue
        for index, (residue, position) in enumerate(zip(chain.sequence, chain.positions, strict=True))
    ]
    return Chain("".join(residues), chain.positions, chain.v_call, chain.j_call)


def draw_cdrh3(rng: np.random.Generator, v_gene: VGene, core: str, j_gene: JGene) -> str:
    """Return a CDR-H3: end of V, N additions, the core (a D segment), N additions, trimmed start of J."""
    while True:
        trim = int(rng.integers(0, len(j_gene.cdr3_end) - 2))
        cdr3 = v_gene.cdr3_start + _n_additions(rng, 5) + core + _n_additions(rng, 4) + j_gene.cdr3_end[trim:]
        if _SHORTEST_CDRH3 <= len(cdr3) <= _LONGEST_CDRH3:
            return cdr3


def draw_light(rng: np.random.Generator) -> Chain:
    """Return an unmutated light chain, kappa in three of five."""
    v_genes, j_genes = (IGKV, IGKJ) if rng.random() < 0.6 else (IGLV, IGLJ)
    v_gene, j_gene = choose(rng, v_genes), choose(rng, j_genes)
    cdr3 = v_gene.cdr3_start + _n_additions(rng, 1) + j_gene.cdr3_end
    return recombine(v_gene, cdr3, j_gene)


def draw_heavy(rng: np.random.Generator, core: str, *, v_genes: Sequence[VGene] = IGHV) -> Chain:
    """Return an unmutated heavy chain around the CDR-H3 core, its V gene one of `v_genes`."""
    v_gene, j_gene = choose(rng, v_genes), choose(rng, IGHJ)
    return recombine(v_gene, draw_cdrh3(rng, v_gene, core, j_gene), j_gene)


def choose(rng: np.random.Generator, options: Sequence[Gene]) -> Gene:
    """Return one of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def _n_additions(rng: np.random.Generator, longest: int) -> str:
    return "".join(_N_ADDITIONS[int(i)] for i in rng.integers(len(_N_ADDITIONS), size=int(rng.integers(longest + 1))))


def _exchange(rng: np.random.Generator, residue: str) -> str:
    options = _EXCHANGES[residue]
    return options[int(rng.integers(len(options)))]
