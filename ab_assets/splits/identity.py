"""The one definition of sequence identity, and exact all-pairs searches that skip only what cannot count.

VH and VL: (L - d) / L, where d is the Levenshtein distance and L the length of the longer chain (rapidfuzz's normalised
similarity, as one correctly rounded division, so that 108 equal of 120 meets a bound written 0.9 exactly). CDR-H3:
the share of equal residues between loops of the same length; loops of unequal length have identity 0.

Why nothing is missed. Every edit changes the length by at most one, so d >= |la - lb| and the identity of a pair is at
most shorter / longer: pairs whose lengths differ by more are never compared. A pair at or above a bound has d <= the
largest d for which (L - d) / L still meets it, and that number grows with L: the number of the longest chain in a
block is a cutoff for the whole block, and rapidfuzz returns the exact distance up to its cutoff. Among many chains, two
bounds of the distance say first what need not be compared: for pairs the triangle inequality (`pivots`), for nearest
neighbours the 3-grams that chains share (`grams`), so that the certificate and the graph do not rest on the same one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Hamming, Levenshtein

from ab_assets.splits.pivots import candidate_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

Kind = Literal["vh", "vl", "cdrh3"]

# 256 x 8192 distances are 8 MiB at four bytes each: the block stays in a level 3 cache.
QUERY_BLOCK = 256
TARGET_BLOCK = 8192
# From so many chains on it is quicker to ask first, by the triangle inequality, which ones can be near (`pivots`).
PIVOTS_FROM = 2000
# From so many targets on it is quicker to ask first, by shared 3-grams, which ones can be the nearest (`grams`).
GRAMS_FROM = 500
# Targets that share most 3-grams are compared first, at least so many: one of them is nearly always the nearest.
SEEDS = 16
# Queries that a thread asks for at once: their bounds to 100,000 targets are 3 MB.
GRAMS_BLOCK = 32


class Pairs(NamedTuple):
    """Pairs of positions with left < right, in lexicographic order, and their identity."""

    left: Integers
    right: Integers
    identity: Floats


class Nearest(NamedTuple):
    """Per query the largest identity and the first target that has it; 0.0 and -1 where there is none."""

    identity: Floats
    target: Integers


def sequence_identity(first: str | None, second: str | None, *, kind: Kind) -> float:
    """Return the identity of two sequences in [0, 1]; 0.0 where one is absent."""
    if not first or not second:
        return 0.0
    if kind == "cdrh3":
        if len(first) != len(second):
            return 0.0
        return (len(first) - Hamming.distance(first, second)) / len(first)
    longer = max(len(first), len(second))
    return (longer - Levenshtein.distance(first, second)) / longer


def pairs_at_or_above(sequences: Sequence[str | None], bound: float, *, kind: Kind, workers: int = 1) -> Pairs:
    """Return every pair of `sequences` with identity >= `bound` (0 < bound <= 1), copies of one sequence included.

    Positions count from 0; absent sequences (None or empty) form no pair. `workers` are threads.
    """
    unique, members, starts = _distinct(sequences)
    lengths = np.array([len(item) for item in unique], dtype=np.int64)
    texts = np.array(unique, dtype=object)
    left, right, identity = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for these, those in _comparisons(unique, lengths, bound, kind, workers):
        longest = np.maximum(lengths[these, None], lengths[None, those])
        cutoff = int(_most_edits(int(longest.max(initial=0)), bound))
        found = _distances(texts[these].tolist(), texts[those].tolist(), kind, cutoff, workers)
        rows, columns = np.nonzero(found <= cutoff)
        share = (longest[rows, columns] - found[rows, columns]) / longest[rows, columns]
        rows, columns = these[rows], those[columns]
        keep = (share >= bound) & (rows != columns)
        left.append(np.minimum(rows[keep], columns[keep]))
        right.append(np.maximum(rows[keep], columns[keep]))
        identity.append(share[keep])
    # a pair within one block was compared both ways
    pairs, first = np.unique(np.stack([np.concatenate(left), np.concatenate(right)]), axis=1, return_index=True)
    return _as_positions(pairs[0], pairs[1], np.concatenate(identity)[first], members, starts)


def pairwise_maximum(
    queries: Sequence[str | None],
    targets: Sequence[str | None],
    *,
    kind: Kind,
    workers: int = 1,
    at_least: float = 0.0,
) -> Nearest:
    """Return the exact nearest target of each query; identities below `at_least` are returned as none (0.0, -1)."""
    query_texts, query_members, query_starts = _distinct(queries)
    position: dict[str, int] = {}
    for place, item in enumerate(targets):
        if item:
            position.setdefault(item, place)
    identity, index = np.zeros(len(queries)), np.full(len(queries), -1, np.int64)
    if not query_texts or not position:
        return Nearest(identity, index)
    search = _nearest_loops if kind == "cdrh3" else _nearest_chains
    best, where = search(query_texts, list(position), at_least, workers)
    first = np.fromiter(position.values(), np.int64, len(position))
    none = (where < 0) | (best < at_least)
    best, where = np.where(none, 0.0, best), np.where(none, -1, first[where])
    counts = np.diff(query_starts)
    identity[query_members], index[query_members] = np.repeat(best, counts), np.repeat(where, counts)
    return Nearest(identity, index)


def largest_identity(
    queries: Sequence[str | None], targets: Sequence[str | None], *, kind: Kind, workers: int = 1
) -> float:
    """Return the exact maximum over all pairs; far quicker than the nearest target of each query."""
    best = 0.0
    for first in range(0, len(queries), QUERY_BLOCK):
        if best < 1:
            block = queries[first : first + QUERY_BLOCK]
            found = pairwise_maximum(block, targets, kind=kind, workers=workers, at_least=best)
            best = max(best, float(found.identity.max(initial=0.0)))
    return best


def _distinct(sequences: Sequence[str | None]) -> tuple[list[str], Integers, Integers]:
    """Return the distinct sequences by (length, text), and for each the positions that hold it (members[starts...])."""
    places: dict[str, list[int]] = {}
    for position, item in enumerate(sequences):
        if item:
            places.setdefault(item, []).append(position)
    unique = sorted(places, key=lambda item: (len(item), item))
    members = np.array([position for item in unique for position in places[item]], dtype=np.int64)
    starts = np.cumsum([0, *(len(places[item]) for item in unique)], dtype=np.int64)
    return unique, members, starts


def _most_edits(length: int, bound: float) -> int:
    """Return the largest d for which (length - d) / length >= bound."""
    edits = min(length, int(length * (1 - bound)) + 1)
    while edits > 0 and (length - edits) / length < bound:
        edits -= 1
    return edits


def _comparisons(
    unique: Sequence[str], lengths: Integers, bound: float, kind: Kind, workers: int
) -> Iterator[tuple[Integers, Integers]]:
    """Yield (these, those): every pair at or above the bound is in some these x those."""
    if kind == "cdrh3" or len(unique) < PIVOTS_FROM:
        for first, last, target_first, target_last in _blocks(lengths, bound, kind):
            yield np.arange(first, last), np.arange(target_first, target_last)
        return
    for these, those in candidate_blocks(unique, _most_edits(int(lengths[-1]), bound), workers=workers):
        for start in range(0, len(those), 4 * TARGET_BLOCK):
            yield these, those[start : start + 4 * TARGET_BLOCK]


def _blocks(lengths: Integers, bound: float, kind: Kind) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first, last, target first, target last) over ascending `lengths`: blocks that can hold a pair."""
    edges = np.flatnonzero(np.diff(lengths, prepend=-1, append=-1)) if len(lengths) else np.zeros(0, np.int64)
    stretches = list(pairwise(edges.tolist())) if kind == "cdrh3" else [(0, len(lengths))]
    for begin, end in stretches:
        for first in range(begin, end, QUERY_BLOCK):
            last = min(first + QUERY_BLOCK, end)
            reach = end
            if kind != "cdrh3":
                reach = first + int(np.count_nonzero(lengths[last - 1] / lengths[first:] >= bound))
                reach = max(reach, last)
            for target in range(first, reach, TARGET_BLOCK):
                yield first, last, target, min(target + TARGET_BLOCK, reach)


def _distances(
    queries: Sequence[str], targets: Sequence[str], kind: Kind, cutoff: int | None, workers: int
) -> NDArray[np.int32]:
    """Return distances (query, target); above the cutoff any number greater than it."""
    scorer = Hamming.distance if kind == "cdrh3" else Levenshtein.distance
    return process.cdist(queries, targets, scorer=scorer, score_cutoff=cutoff, dtype=np.int32, workers=workers)


def _as_positions(left: Integers, right: Integers, identity: Floats, members: Integers, starts: Integers) -> Pairs:
    """Turn pairs of distinct sequences into pairs of positions, and add the pairs of copies."""
    counts = np.diff(starts)
    copies = counts[left] * counts[right]
    offset = np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)
    width = np.repeat(counts[right], copies)
    first = members[np.repeat(starts[left], copies) + offset // np.maximum(width, 1)]
    second = members[np.repeat(starts[right], copies) + offset % np.maximum(width, 1)]
    share = np.repeat(identity, copies)
    repeated = np.flatnonzero(counts > 1)
    same = [np.triu_indices(counts[item], 1) for item in repeated]
    first = np.concatenate([first, *(members[starts[i] + a] for i, (a, _) in zip(repeated, same, strict=True))])
    second = np.concatenate([second, *(members[starts[i] + b] for i, (_, b) in zip(repeated, same, strict=True))])
    share = np.concatenate([share, np.ones(len(first) - len(share))])
    low, high = np.minimum(first, second), np.maximum(first, second)
    order = np.lexsort((high, low))
    return Pairs(low[order], high[order], share[order])


def _nearest_chains(queries: list[str], targets: list[str], at_least: float, workers: int) -> tuple[Floats, Integers]:
    if len(targets) < GRAMS_FROM:
        longest = max(len(item) for item in (*queries, *targets))
        return _scan(queries, targets, "vh", _most_edits(longest, at_least), workers)
    from ab_assets.splits.grams import fewest_edits, signatures  # noqa: PLC0415 - loads numba, needed only here

    marks, texts = signatures(targets), np.array(targets, dtype=object)
    lengths = np.array([len(item) for item in targets], dtype=np.int64)

    def block(first: int) -> list[tuple[float, int]]:
        asked = queries[first : first + GRAMS_BLOCK]
        bounds = fewest_edits(signatures(asked), marks)
        return [_nearest_of(*query, texts, lengths, at_least) for query in zip(asked, bounds, strict=True)]

    with ThreadPoolExecutor(max_workers=workers) as pool:
        found = [item for part in pool.map(block, range(0, len(queries), GRAMS_BLOCK)) for item in part]
    return np.array([share for share, _ in found]), np.array([where for _, where in found], dtype=np.int64)


def _nearest_of(
    query: str, fewest: NDArray[np.uint8], texts: NDArray[np.object_], lengths: Integers, at_least: float
) -> tuple[float, int]:
    """Return the best identity of one query among `texts` and its first index; fewest: (text,) bounds of its edits."""
    level = int(np.searchsorted(np.cumsum(np.bincount(fewest)), min(SEEDS, len(texts))))
    share, _ = _best(query, texts, lengths, np.flatnonzero(fewest <= level), at_least)
    # a target as near as the best seed may come before it
    floor = max(share, at_least)
    longest = np.maximum(lengths, len(query))
    most = {length: _most_edits(length, floor) for length in np.unique(longest).tolist()}
    table = np.zeros(int(longest.max()) + 1, np.int64)
    table[list(most)] = list(most.values())
    return _best(query, texts, lengths, np.flatnonzero(fewest <= table[longest]), floor)


def _best(
    query: str, texts: NDArray[np.object_], lengths: Integers, chosen: Integers, floor: float
) -> tuple[float, int]:
    """Return the best identity among the chosen texts, at least `floor`, and its first index (-1.0 and -1: none)."""
    if not len(chosen):
        return -1.0, -1
    longest = np.maximum(lengths[chosen], len(query))
    cutoff = _most_edits(int(longest.max()), floor)
    distance = _distances([query], texts[chosen].tolist(), "vh", cutoff, 1)[0]
    share = np.where(distance <= cutoff, (longest - distance) / longest, -1.0)
    place = int(share.argmax())
    return (float(share[place]), int(chosen[place])) if share[place] >= floor else (-1.0, -1)


def _nearest_loops(queries: list[str], targets: list[str], at_least: float, workers: int) -> tuple[Floats, Integers]:
    best, where = np.full(len(queries), -1.0), np.full(len(queries), -1, np.int64)
    lengths = np.array([len(item) for item in queries])
    target_lengths = np.array([len(item) for item in targets])
    for length in np.unique(lengths):
        these, those = np.flatnonzero(lengths == length), np.flatnonzero(target_lengths == length)
        if not len(those):
            continue
        cutoff = _most_edits(int(length), at_least)
        share, index = _scan([queries[i] for i in these], [targets[i] for i in those], "cdrh3", cutoff, workers)
        best[these], where[these] = share, np.where(index < 0, -1, those[index])
    return best, where


def _scan(queries: list[str], targets: list[str], kind: Kind, cutoff: int, workers: int) -> tuple[Floats, Integers]:
    """Return the best identity among targets within `cutoff` edits and its first index (-1.0 and -1 without one)."""
    best, where = np.full(len(queries), -1.0), np.full(len(queries), -1, np.int64)
    query_lengths = np.array([len(item) for item in queries])
    target_lengths = np.array([len(item) for item in targets])
    for first in range(0, len(queries), QUERY_BLOCK):
        block = slice(first, first + QUERY_BLOCK)
        for target in range(0, len(targets), TARGET_BLOCK):
            tile = slice(target, target + TARGET_BLOCK)
            found = _distances(queries[block], targets[tile], kind, cutoff, workers)
            longest = np.maximum(query_lengths[block, None], target_lengths[None, tile])
            share = np.where(found <= cutoff, (longest - found) / longest, -1.0)
            index = share.argmax(axis=1)
            top = share[np.arange(len(index)), index]
            better = top > best[block]
            best[block] = np.where(better, top, best[block])
            where[block] = np.where(better, index + target, where[block])
    return best, where
