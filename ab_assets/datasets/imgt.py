"""IMGT positions of antibody variable domains: what is one, how they sort, and which region each belongs to.

A position is a string: a number 1-129 and, for insertions, a letter ("111A"; "111AA" after "111Z").
Lefranc et al. 2003, Dev. Comp. Immunol. 27:55-77 (IMGT unique numbering for V-REGION and V-LIKE-DOMAINs).
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Both ends belong to the region. IMGT ends at 128; some tables number one residue more.
REGIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "fwr1": (1, 26),
        "cdr1": (27, 38),
        "fwr2": (39, 55),
        "cdr2": (56, 65),
        "fwr3": (66, 104),
        "cdr3": (105, 117),
        "fwr4": (118, 129),
    }
)

_POSITION = re.compile(r"([1-9]\d{0,2})([A-Z]{0,2})")
_LAST = REGIONS["fwr4"][1]
# A loop's insertions grow from both sides to its middle, so after the middle they count down: 112B, 112A, 112.
_DESCENDING = frozenset({33, 61, 112})


def is_position(text: str) -> bool:
    """Tell whether `text` is an IMGT position such as "27" or "111A"."""
    match = _POSITION.fullmatch(text)
    return match is not None and int(match[1]) <= _LAST


@lru_cache(maxsize=4096)
def sort_key(position: str) -> tuple[int, int]:
    """Return what sorts positions from the N to the C terminus: 111, 111A, 112B, 112A, 112.

    Raises ValueError when `position` is no IMGT position.
    """
    number, letters = _parse(position)
    insertion = 0
    for letter in letters:
        insertion = insertion * 26 + ord(letter) - ord("A") + 1
    return number, -insertion if number in _DESCENDING else insertion


@lru_cache(maxsize=4096)
def region_of(position: str) -> str:
    """Return the region, "fwr1" to "fwr4", that `position` lies in.

    Raises ValueError when `position` is no IMGT position.
    """
    number, _ = _parse(position)
    return next(name for name, (first, last) in REGIONS.items() if first <= number <= last)


def cdrh3_of(sequence: str, positions: Sequence[str | None]) -> str | None:
    """Return the residues at IMGT 105-117 of a heavy chain, or None when it has none there.

    `positions` holds one entry per residue of `sequence`, None for residues outside the V domain.
    Raises ValueError when the lengths differ or an entry is no IMGT position.
    """
    pairs = zip(sequence, positions, strict=True)
    return "".join(residue for residue, position in pairs if position and region_of(position) == "cdr3") or None


def _parse(position: str) -> tuple[int, str]:
    match = _POSITION.fullmatch(position)
    if match is None or int(match[1]) > _LAST:
        msg = f"{position!r} is no IMGT position"
        raise ValueError(msg)
    return int(match[1]), match[2]
