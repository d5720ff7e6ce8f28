"""A text of one or two chains becomes exactly one token per residue, whatever residues it holds."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ab_assets.errors import BadInputError, CorruptArtifactError, UnreadableFileError
from ab_assets.models.specification import Pairing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# The names by which published vocabularies call the special tokens: BERT's, ESM's, RoBERTa's.
_CLS = ("[CLS]", "<cls>", "<s>")
_EOS = ("[SEP]", "<eos>", "</s>")
_PAD = ("[PAD]", "<pad>")
_UNKNOWN = ("[UNK]", "<unk>")

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


Text = tuple[str, ...]
"""The chains that share one forward pass: one chain, or VH and VL."""


@dataclass(frozen=True, slots=True)
class TokenizedChain:
    """Where one chain lies in the tokens of its text: residue i (from 0) is token `start + i`, for i < `seen`.

    seen, truncated: residues before and after the cut at the C-terminal end; unknown: seen residues without a token of
    their own.
    """

    start: int
    seen: int
    truncated: int
    unknown: int

    @property
    def stop(self) -> int:
        """Index after the last seen residue's token."""
        return self.start + self.seen


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """The tokens of a text; `chains` in the order in which the text gives them, whichever the model reads first."""

    ids: tuple[int, ...]
    chains: tuple[TokenizedChain, ...]


class ResidueTokenizer:
    """Turns texts into token ids straight from a vocabulary: a residue it does not hold becomes the unknown token."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self.size = len(vocabulary)
        self.cls = _special(vocabulary, _CLS)
        self.eos = _special(vocabulary, _EOS)
        self.pad = _special(vocabulary, _PAD)
        self.unknown = _special(vocabulary, _UNKNOWN)
        self._vocabulary = dict(vocabulary)
        self._residues = {letter: vocabulary[letter] for letter in string.ascii_uppercase if letter in vocabulary}

    @property
    def residues(self) -> frozenset[str]:
        """The one-letter codes that have a token of their own."""
        return frozenset(self._residues)

    def encode(self, text: tuple[str, ...], max_length: int, pairing: Pairing | None = None) -> TokenizedText:
        """Return the tokens of `text`: one chain, or (vh, vl) that share a pass as `pairing` says; upper-case letters.

        A text of more than `max_length` residues is cut at C-terminal ends: the longer chain loses residues until both
        are equally long, then they lose them in turn, the second first.

        Raises BadInputError when the vocabulary lacks a token that `pairing` names.
        """
        pairing = pairing or Pairing()
        seen = _shares([len(chain) for chain in text], max_length)
        separator, marks = self._between(pairing) if len(text) > 1 else ((), ((),))
        ids = [self.cls]
        chains: dict[int, TokenizedChain] = {}
        for index in _reading_order(len(text), pairing):
            if chains:
                ids += separator
            ids += marks[index]
            body = text[index][: seen[index]]
            chains[index] = TokenizedChain(
                start=len(ids),
                seen=len(body),
                truncated=len(text[index]) - len(body),
                unknown=sum(letter not in self._residues for letter in body),
            )
            ids += [self._residues.get(letter, self.unknown) for letter in body]
        return TokenizedText((*ids, self.eos), tuple(chains[index] for index in range(len(text))))

    def table(self, pairing: Pairing | None = None) -> dict[str, Any]:
        """Return the ids that make up a text, by what they stand for; `pairing`: of two chains, else of one. JSON-able.

        Raises BadInputError as `encode`.
        """
        separator, marks = self._between(pairing) if pairing else ((), ())
        return {
            "cls": self.cls,
            "eos": self.eos,
            "unknown": self.unknown,
            "residues": dict(self._residues),
            "separator": list(separator),
            "marks": [index for mark in marks for index in mark],
        }

    def _between(self, pairing: Pairing) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        named = (*pairing.separator, *pairing.marks)
        if missing := [token for token in named if token not in self._vocabulary]:
            raise BadInputError(
                what=f"the vocabulary lacks {', '.join(missing)}, which the model's pairing names",
                expected=f"tokens such as {', '.join(list(self._vocabulary)[:5])}",
                hint="Check `separator` and `marks` under [<model>.pairing].",
            )
        separator = tuple(self._vocabulary[token] for token in pairing.separator) or (self.eos,)
        marks = tuple((self._vocabulary[token],) for token in pairing.marks) or ((), ())
        return separator, marks


def read_vocabulary(file: Path) -> dict[str, int]:
    """Return token -> id from a vocab.txt (ids count lines from 0), a vocab.json or a tokenizer.json.

    Raises UnreadableFileError when the file is not what its name says, CorruptArtifactError when it lacks an amino
    acid.
    """
    try:
        text = file.read_text(encoding="utf-8")
        vocabulary = vocabulary_of(text.splitlines()) if file.suffix == ".txt" else _from_json(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableFileError(what="this is no vocabulary", where=str(file), found=repr(error)) from error
    if missing := [letter for letter in AMINO_ACIDS if letter not in vocabulary]:
        raise CorruptArtifactError(
            what="the vocabulary has no token for every amino acid",
            where=str(file),
            found=f"{len(vocabulary)} tokens without {', '.join(missing)}",
            expected="one token per residue",
            hint="A model that reads several residues as one token cannot be used here.",
        )
    return vocabulary


def vocabulary_of(tokens: Sequence[str]) -> dict[str, int]:
    """Return token -> id, ids in the order of `tokens`."""
    return {token.strip(): index for index, token in enumerate(tokens)}


def _from_json(content: Mapping[str, object]) -> dict[str, int]:
    if "model" not in content:  # vocab.json: the mapping itself
        return {str(token): _index(index) for token, index in content.items()}
    model = content["model"]
    added = content.get("added_tokens") or []
    if not isinstance(model, dict) or not isinstance(added, list):
        raise TypeError(type(model))
    tokens = model["vocab"]
    if isinstance(tokens, list):  # unigram models: [token, score] in the order of their ids
        tokens = {token: index for index, (token, _) in enumerate(tokens)}
    vocabulary = {str(token): _index(index) for token, index in tokens.items()}
    return vocabulary | {str(token["content"]): _index(token["id"]) for token in added}


def _index(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(type(value))
    return value


def _shares(lengths: list[int], limit: int) -> list[int]:
    seen = list(lengths)
    for _ in range(sum(lengths) - limit):
        longest = max(range(len(seen)), key=lambda index: (seen[index], index))
        seen[longest] -= 1
    return seen


def _reading_order(chains: int, pairing: Pairing) -> list[int]:
    order = list(range(chains))
    return order[::-1] if pairing.order == "LH" else order


def _special(vocabulary: Mapping[str, int], names: tuple[str, ...]) -> int:
    for name in names:
        if name in vocabulary:
            return vocabulary[name]
    raise CorruptArtifactError(
        what="the vocabulary lacks a special token", found=f"{len(vocabulary)} tokens", expected=" or ".join(names)
    )
