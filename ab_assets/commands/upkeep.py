"""What keeps an installation in order: the catalogue made again, old versions removed, results recomputed by sample."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ab_assets.artifacts.collection import Policy, abandoned, freed, leftovers, remove, superseded
from ab_assets.commands.console import TerminalProgress, complain, say
from ab_assets.errors import BadInputError
from jobs.launching import open_instance
from resources.runs import end_dead_runs, oldest_start

if TYPE_CHECKING:
    from ab_assets.artifacts.collection import Item
    from ab_assets.home import Home


def rebuild(home: Home) -> int:
    """Make Dagster's catalogue again from the store, say what was done, and return the exit code."""
    from jobs.rebuilding import rebuild_catalogue  # noqa: PLC0415 - it loads the definitions

    with open_instance(home) as instance, TerminalProgress() as progress:
        done = rebuild_catalogue(home, instance, progress)
    for line in done.left_out:
        say(f"  left out: {line}")
    for line in done.damaged:
        complain(f"  damaged: {line}")
    say(f"{len(done.restored)} materializations restored, {done.known} were known already; nothing was computed.")
    return 5 if done.damaged else 0


def collect(home: Home, *, days: float, versions: int, delete: bool) -> None:
    """Say what can go and how much that frees; with `delete` remove it.

    What a run in progress may use stays: all that was made, found, shown or replaced since the oldest of them began,
    and since yesterday.
    """
    with open_instance(home) as instance:
        end_dead_runs(instance)
        policy = Policy(days, versions, in_use_since=oldest_start(instance))
    items = removable(home, policy)
    for item in items:
        say(f"  {item.folder.relative_to(home.root)}: {item.why}")
    if not items:
        say("Nothing to remove.")
    elif not delete:
        say(f"{len(items)} to remove, {_size(freed(items))} to free. Nothing was removed: say --delete to do it.")
    else:
        size = freed(items)
        gone = remove(home.store, items)
        say(f"{len(gone)} removed, about {_size(size)} freed.")
        if len(gone) < len(items):
            say(f"{len(items) - len(gone)} were used meanwhile and stay.")


def removable(home: Home, policy: Policy) -> list[Item]:
    """Return what can go: old versions, leftovers, fits nobody went on with, embeddings no model has asked for."""
    return [
        *superseded(home.store, policy),
        *leftovers(home.store, policy),
        *abandoned(home.cache.glob("unfinished/*/"), policy, "a fit that nobody went on with"),
        *abandoned(home.cache.glob("embeddings/*/"), policy, "embeddings that nobody asked for"),
    ]


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def recompute_sample(home: Home, share: float, seed: int) -> dict[str, Any]:
    """Return what a sample of the kept embeddings and predictions says when it is computed again, JSON-able."""
    from ab_assets.recomputation import recompute  # noqa: PLC0415 - it runs models

    if not 0 < share <= 1:
        raise BadInputError(what="the sample is a share of what is stored", found=f"{share:g}", expected="(0, 1]")
    with TerminalProgress() as progress:
        return asdict(recompute(home, share, seed, progress))


def say_sample(sample: dict[str, Any]) -> None:
    """Say what was computed again, and what differs."""
    for line in sample["left_out"]:
        say(f"  not looked at: {line}")
    for line in sample["differ"]:
        complain(f"  differs: {line}")
    counts = f"{sample['texts']} embeddings and {sample['scores']} scores"
    say(f"{counts} computed again, {len(sample['differ'])} differ.")
