"""A small set of vertices whose removal leaves no edge between folds of bearable size, found by compiled search.

Several starts, each: communities by size-constrained label propagation, packed into folds where they have most edges;
a greedy vertex cover of the edges that cross; annealing, in which a removed vertex enters a fold and drives out the
neighbours it has in others. The best start wins. Everything is drawn from fixed seeds: the same graph, in the same
order of vertices, gives the same answer. Importing this module loads numba; compiling takes seconds, once per process
(once per installation where the package's folder or the user's cache can be written).
"""

from __future__ import annotations

import operator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ab_assets.compilation import compiled

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# A vertex in a fold that is too large weighs as much as this many removed ones; what needs no removal is put back
# by the caller, so that the weight steers and never discards.
CROWDING = 2.0
# A class that a fold has too many or too few of, by more than this share of a mean fold, weighs as much as this part of
# a removed row: of 23 graphs, real and simulated, it costs 0.09 % of the rows and takes a fifth of the imbalance.
LEAN, SLACK = 0.25, 0.08
# Communities of at most this share of a fold: one start each, again and again with other orders.
COMMUNITY_SHARES = (1.0, 2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8, 1 / 12, 1 / 16, 1 / 24, 1 / 32, 1 / 48)
PROPAGATION_ROUNDS = 10
PROPOSALS_PER_VERTEX = 30
# Proposals of all starts together: of a large graph only the most promising covers are annealed.
PROPOSAL_BUDGET = 20_000_000
WARM, COLD = 3.0, 0.1  # annealing temperatures, in rows
# Lehmer generator of Park & Miller (1988), multiplier of 1993: portable and small enough to compile anywhere.
MULTIPLIER, MODULUS = 48271, 2147483647


class Vertices(NamedTuple):
    """A graph without loops in compressed rows, the weight (vertex, class) of its vertices, and `loose` (class,):
    the weight outside the graph that can fill any fold."""

    indptr: Integers
    indices: Integers
    weight: Integers
    loose: Integers


class _State(NamedTuple):
    """Where each vertex is (`place`; `folds` = removed) and what follows from it.

    touch: (vertex, place) weight of its neighbours there. size: (place, class). journal: (move, 2) vertex and former
    place of what can be undone. cursor: length of the journal (-1: do not write), random state.
    """

    indptr: Integers
    indices: Integers
    weight: Integers
    loose: Integers
    place: Integers
    touch: Integers
    size: Integers
    journal: Integers
    cursor: Integers
    tolerance: float


def separate(graph: Vertices, *, folds: int, tolerance: float, starts: int, most: int = 1) -> list[Integers]:
    """Return the best answers, at most `most`, the best first.

    Each is the fold of each vertex (0 .. folds - 1), or `folds` where it is removed; no edge joins two folds.
    """
    rows = np.repeat(np.arange(len(graph.weight)), np.diff(graph.indptr))
    adjacency = csr_array(
        (np.ones(len(graph.indices)), graph.indices, graph.indptr), shape=(len(graph.weight), len(graph.weight))
    )
    weight = graph.weight.sum(axis=1)
    mean = (weight.sum() + graph.loose.sum()) / folds
    covered: list[tuple[float, int, Integers]] = []
    for start in range(starts):
        order = np.random.default_rng(start).permutation(len(weight))
        cap = max(2, int(mean * COMMUNITY_SHARES[start % len(COMMUNITY_SHARES)]))
        label = _communities(graph.indptr, graph.indices, weight, cap, order)
        place = _packed(adjacency, weight, label, folds, mean * (1 + tolerance / 2))
        state = _state(graph, rows, place, folds, tolerance, seed=start + 1)
        _cover(state)
        covered.append((_energy(state), start, state.place))
    proposals = min(PROPOSALS_PER_VERTEX * len(weight), PROPOSAL_BUDGET)
    annealed: list[tuple[float, int, Integers]] = []
    for _, start, place in sorted(covered, key=operator.itemgetter(0, 1))[: max(1, PROPOSAL_BUDGET // proposals)]:
        state = _state(graph, rows, place, folds, tolerance, seed=start + 1)
        annealed.append((_anneal(state, proposals, WARM, COLD, place), start, place))
    return [place for _, _, place in sorted(annealed, key=operator.itemgetter(0, 1))[:most]]


def _packed(adjacency: csr_array, weight: Integers, label: Integers, folds: int, cap: float) -> Integers:
    """Return a fold per vertex: whole communities, largest first, each where it has most edges and there is room."""
    _, community = np.unique(label, return_inverse=True)
    count = int(community.max()) + 1
    member = csr_array((np.ones(len(label)), (np.arange(len(label)), community)), shape=(len(label), count))
    links = csr_array(member.T @ adjacency @ member)
    size = np.bincount(community, weights=weight)
    fold, load = np.full(count, -1), np.zeros(folds)
    for item in np.argsort(-size, kind="stable"):
        span = slice(links.indptr[item], links.indptr[item + 1])
        neighbour, edges = fold[links.indices[span]], links.data[span]
        pull = np.bincount(neighbour[neighbour >= 0], weights=edges[neighbour >= 0], minlength=folds)
        room = load + size[item] <= cap
        choice = np.lexsort((load, np.where(room, -pull, 0.0), ~room))[0]
        fold[item] = choice
        load[choice] += size[item]
    return fold[community].astype(np.int64)


def _state(graph: Vertices, rows: Integers, place: Integers, folds: int, tolerance: float, *, seed: int) -> _State:
    total = graph.weight.sum(axis=1)
    size = np.zeros((folds + 1, graph.weight.shape[1]), np.int64)
    np.add.at(size, place, graph.weight)
    touch = np.zeros((len(place), folds + 1), np.int64)
    np.add.at(touch, (rows, place[graph.indices]), total[graph.indices])
    journal = np.zeros((2 * len(place) + 2, 2), np.int64)
    cursor = np.array([0, seed * 7919], np.int64)
    return _State(*graph, place.copy(), touch, size, journal, cursor, tolerance)


@compiled
def _communities(indptr: Integers, indices: Integers, weight: Integers, cap: int, order: Integers) -> Integers:
    """Return a label per vertex: each joins the label most of its neighbours have, while no label outweighs `cap`."""
    label, size = np.arange(len(weight)), weight.copy()
    votes = np.zeros(len(weight), np.int64)
    for _ in range(PROPAGATION_ROUNDS):
        changed = 0
        for vertex in order:
            neighbours = indices[indptr[vertex] : indptr[vertex + 1]]
            old = label[vertex]
            for other in neighbours:
                votes[label[other]] += 1
            best = old
            for other in neighbours:
                candidate = label[other]
                if candidate != old and size[candidate] + weight[vertex] <= cap and votes[candidate] > votes[best]:
                    best = candidate
            for other in neighbours:
                votes[label[other]] = 0
            if best != old:
                size[old] -= weight[vertex]
                size[best] += weight[vertex]
                label[vertex] = best
                changed += 1
        if changed == 0:
            break
    return label


@compiled
def _draw(state: _State) -> float:
    """Return the next random number in [0, 1)."""
    state.cursor[1] = state.cursor[1] * MULTIPLIER % MODULUS
    return float(state.cursor[1] / MODULUS)


@compiled
def _put(state: _State, vertex: int, place: int) -> None:
    """Move one vertex and keep touch and size true."""
    old = state.place[vertex]
    if state.cursor[0] >= 0:
        state.journal[state.cursor[0], 0] = vertex
        state.journal[state.cursor[0], 1] = old
        state.cursor[0] += 1
    total = 0
    for item in range(state.weight.shape[1]):
        total += state.weight[vertex, item]
        state.size[old, item] -= state.weight[vertex, item]
        state.size[place, item] += state.weight[vertex, item]
    state.place[vertex] = place
    for edge in range(state.indptr[vertex], state.indptr[vertex + 1]):
        state.touch[state.indices[edge], old] -= total
        state.touch[state.indices[edge], place] += total


@compiled
def _energy(state: _State) -> float:
    """Return the weight removed, plus the weight by which folds are too large, too small or lean to one class."""
    folds, classes = state.size.shape[0] - 1, state.size.shape[1]
    kept, removed, spare, excess, leaning = 0.0, 0.0, 0.0, 0.0, 0.0
    for item in range(classes):
        total = float(state.loose[item])
        for fold in range(folds):
            total += state.size[fold, item]
        for fold in range(folds):
            excess += 0.5 * max(0.0, state.size[fold, item] - (1 + 2 * state.tolerance) * total / folds - 1)
        kept += total
        spare += state.loose[item]
        removed += state.size[folds, item]
    for fold in range(folds):
        size = 0
        for item in range(classes):
            size += state.size[fold, item]
        for item in range(classes):
            total = float(state.loose[item])
            for other in range(folds):
                total += state.size[other, item]
            leaning += max(0.0, abs(state.size[fold, item] - size * total / kept) - SLACK * kept / folds)
        excess += max(0.0, size - (1 + state.tolerance) * kept / folds)
        spare -= max(0.0, (1 - state.tolerance) * kept / folds - size)
    return removed + CROWDING * (excess + max(0.0, -spare)) + LEAN * leaning


@compiled
def _cover(state: _State) -> None:
    """Remove vertices until no edge crosses, those first that have most crossing weight for their own."""
    folds = state.size.shape[0] - 1
    state.cursor[0] = -1
    threshold = np.inf
    while threshold > 0:
        highest = 0.0
        for vertex in range(len(state.place)):
            if state.place[vertex] == folds:
                continue
            crossing, own = 0.0, 0.0
            for fold in range(folds):
                if fold != state.place[vertex]:
                    crossing += state.touch[vertex, fold]
            for item in range(state.weight.shape[1]):
                own += state.weight[vertex, item]
            if crossing / own >= threshold:
                _put(state, vertex, folds)
            else:
                highest = max(highest, crossing / own)
        threshold = 0.9 * highest
    state.cursor[0] = 0


@compiled
def _enter(state: _State, vertex: int, temperature: float) -> bool:
    """Put a removed vertex into the fold where it drives out least, give or take the temperature; False if it stays."""
    folds = state.size.shape[0] - 1
    total, own = 0.0, 0.0
    for fold in range(folds):
        total += state.touch[vertex, fold]
    for item in range(state.weight.shape[1]):
        own += state.weight[vertex, item]
    choice, least = 0, np.inf
    for fold in range(folds):
        driven = total - state.touch[vertex, fold] + temperature * _draw(state)
        if driven < least:
            choice, least = fold, driven
    loss = total - state.touch[vertex, choice] - own
    if loss > 0 and _draw(state) > np.exp(-loss / temperature):
        return False
    _put(state, vertex, choice)
    for edge in range(state.indptr[vertex], state.indptr[vertex + 1]):
        neighbour = state.indices[edge]
        if state.place[neighbour] != choice and state.place[neighbour] != folds:
            _put(state, neighbour, folds)
    return True


@compiled
def _anneal(state: _State, proposals: int, warm: float, cold: float, best: Integers) -> float:
    """Write the best places met while cooling from `warm` to `cold` into `best`, and return their energy."""
    folds, vertices = state.size.shape[0] - 1, len(state.place)
    removed, count = np.zeros(vertices, np.int64), 0
    energy = _energy(state)
    lowest = energy
    best[:] = state.place
    for proposal in range(proposals):
        if proposal % vertices == 0:
            count = 0
            for vertex in range(vertices):
                if state.place[vertex] == folds:
                    removed[count] = vertex
                    count += 1
            if count == 0:
                break
        temperature = warm * (cold / warm) ** (proposal / proposals)
        vertex = removed[int(_draw(state) * count)]
        state.cursor[0] = 0
        if state.place[vertex] != folds or not _enter(state, vertex, temperature):
            continue
        changed = _energy(state)
        moves = state.cursor[0]
        if changed <= energy or _draw(state) < np.exp((energy - changed) / temperature):
            energy = changed
            for move in range(1, min(moves, vertices - count + 1)):
                removed[count] = state.journal[move, 0]
                count += 1
            if energy < lowest - 1e-9:
                lowest = energy
                best[:] = state.place
        else:
            state.cursor[0] = -1
            for move in range(moves - 1, -1, -1):
                _put(state, state.journal[move, 0], state.journal[move, 1])
    return lowest
