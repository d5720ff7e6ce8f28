"""Make a result unless it is already there."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.errors import CorruptArtifactError, MissingArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ab_assets.artifacts.fingerprint import Question
    from ab_assets.artifacts.store import Artifact, ArtifactStore, Draft, Ref


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a partition shows now, and whether that took any work."""

    ref: Ref
    artifact: Artifact
    reused: bool


def publish_once(
    store: ArtifactStore,
    ref: Ref,
    question: Question,
    build: Callable[[Draft], None],
    *,
    force: bool = False,
    show: bool = True,
) -> Outcome:
    """Return the answer to `question`: what is published already, else what `build` writes into the draft.

    `force` builds even when an answer is there; with `show` the partition shows the answer from now on. Nothing is
    published when `build` raises.
    """
    if not force and (known := known_answer(store, ref, question)) is not None:
        with suppress(MissingArtifactError):  # removed at this very moment
            if show:
                store.point(ref, known)
            return Outcome(ref, known, reused=True)
    while True:
        start = time.monotonic()
        with store.draft() as draft:
            build(draft)
            artifact = store.publish(draft, ref, question, seconds=time.monotonic() - start)
        with suppress(MissingArtifactError):  # as above
            if show:
                store.point(ref, artifact)
            return Outcome(ref, artifact, reused=False)


def known_answer(store: ArtifactStore, ref: Ref, question: Question) -> Artifact | None:
    """Return what the partition shows when it answers the question, else the newest answer of all."""
    try:
        shown = store.current(ref)
    except CorruptArtifactError:
        shown = None
    if shown is not None and shown.fingerprint == question.fingerprint and shown.is_whole():
        return shown
    return store.find(ref.asset, question.fingerprint)
