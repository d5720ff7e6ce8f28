"""Homes in which everything is published and nothing was computed: each file says only whose it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ab_assets.artifacts.store import Artifact, Draft, Ref
from ab_assets.home import Home
from ab_assets.plan import Step, plan, question_now

Settings = dict[str, Any]
Build = Callable[[Draft], None]


def write_benchmark(home: Home, name: str, settings: Mapping[str, Any]) -> None:
    """Write benchmark.toml from {"split.folds": 3}: a line for each key."""
    folder = home.folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    (folder / "benchmark.toml").write_text(text)


def write_models(home: Home, models: Mapping[str, Mapping[str, Any]]) -> None:
    """Write models/models.toml from {model: {"source.revision": ...}}."""
    (home.root / "models").mkdir(parents=True, exist_ok=True)
    blocks = (
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in models.items()
    )
    (home.root / "models" / "models.toml").write_text("\n".join(blocks))


def steps_of(home: Home) -> list[Step]:
    """Return the plan of all benchmarks."""
    return plan([(one, home.folder(one.name)) for one in home.benchmarks()], home.catalogue(), home.store)


def publish(home: Home, ref: Ref, *, said: str = "", build: Build | None = None, seconds: float = 1.0) -> Artifact:
    """Publish an answer to what the partition asks now and show it."""
    question = question_now(home, ref)
    with home.store.draft() as draft:
        draft.document("content", {"of": str(ref), "asked": question.fingerprint, "said": said})
        if build is not None:
            build(draft)
        artifact = home.store.publish(draft, ref, question, seconds=seconds)
    home.store.point(ref, artifact)
    return artifact


def publish_all(home: Home, builds: Mapping[str, Build] | None = None, *, seconds: float = 1.0) -> None:
    """Publish whatever is new or stale; `builds`: what an asset holds besides."""
    for step in steps_of(home):
        if step.reasons:
            publish(home, step.ref, build=(builds or {}).get(step.ref.asset), seconds=seconds)


def copy_of(home: Home, folder: Path) -> Home:
    """Return a home with the same benchmarks, models and store."""
    import shutil

    shutil.copytree(home.root, folder)
    return Home(folder)
