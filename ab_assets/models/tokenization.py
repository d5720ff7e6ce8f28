"""A chain becomes exactly one token per residue between two special tokens, whatever residues it holds."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.errors import CorruptArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# The names by which published vocabularies call the special tokens: BERT's, ESM's (which RoBERTa-like ones mix).
_CLS = ("[CLS]", "<cls>", "<s>")
_EOS = ("[SEP]", "<eos>", "</s>")
_PAD = ("[PAD]", "<pad>")
_UNKNOWN = ("[UNK]", "<unk>")

FIRST_RESIDUE = 1
"""Index of the first residue's token: only the start token is before it."""

SPECIAL_TOKENS = 2
"""How many tokens a chain has besides its residues."""


@dataclass(frozen=True, slots=True)
class TokenizedChain:
    """The tokens of one chain: start, `seen_residues` residues from the N terminus, end.

    Residue i (from 0) is token `FIRST_RESIDUE + i`; residues from `seen_residues` on are truncated.
    """

    ids: tuple[int, ...]
    seen_residues: int
    truncated_residues: int
    unknown_residues: int


class ResidueTokenizer:
    """Turns chains into token ids straight from a vocabulary: a residue it does not hold becomes the unknown token."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self.size = len(vocabulary)
        self.cls = _special(vocabulary, _CLS)
        self.eos = _special(vocabulary, _EOS)
        self.pad = _special(vocabulary, _PAD)
        self.unknown = _special(vocabulary, _UNKNOWN)
        self._residues = {letter: vocabulary[letter] for letter in string.ascii_uppercase if letter in vocabulary}

    @property
    def residues(self) -> frozenset[str]:
        """The one-letter codes that have a token of their own."""
        return frozenset(self._residues)

    def encode(self, sequence: str, max_length: int) -> TokenizedChain:
        """Return the tokens of the first `max_length` residues of `sequence` (upper-case one-letter codes)."""
        seen = sequence[:max_length]
        residues = self._residues
        body = tuple(residues.get(letter, self.unknown) for letter in seen)
        return TokenizedChain(
            ids=(self.cls, *body, self.eos),
            seen_residues=len(seen),
            truncated_residues=len(sequence) - len(seen),
            unknown_residues=sum(letter not in residues for letter in seen),
        )


def read_vocabulary(file: Path) -> dict[str, int]:
    """Return token -> id from a vocab.txt: one token per line, ids count lines from 0."""
    return vocabulary_of(file.read_text(encoding="utf-8").splitlines())


def vocabulary_of(tokens: Sequence[str]) -> dict[str, int]:
    """Return token -> id, ids in the order of `tokens`."""
    return {token.strip(): index for index, token in enumerate(tokens)}


def _special(vocabulary: Mapping[str, int], names: tuple[str, ...]) -> int:
    for name in names:
        if name in vocabulary:
            return vocabulary[name]
    raise CorruptArtifactError(
        what="the vocabulary lacks a special token", found=f"{len(vocabulary)} tokens", expected=" or ".join(names)
    )
