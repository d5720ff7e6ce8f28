"""Whatever changes, exactly the partitions that it concerns name it, and everything below says where it begins."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from injected_changes import FILES, HARMLESS, KINDS, World
from published import publish_all, steps_of

from ab_assets import graph
from ab_assets.artifacts import code_version
from ab_assets.artifacts.store import Ref
from ab_assets.graph import NODES
from ab_assets.home import Home
from ab_assets.plan import upstream_refs
from ab_assets.provenance import code_changes
from ab_assets.provenance.explanations import causes, reasons_of

ROOT = Path(code_version.__file__).parents[2]
# What is said alone: there is nothing to compare with.
ALONE = ("not made yet", "cannot be read", "there is no model")


def forget_the_code() -> None:
    graph.loaded_code.cache_clear()
    code_version.when_loaded.cache_clear()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    """Return a folder with a home that is all fresh and a copy of the package."""
    folder = tmp_path_factory.mktemp("pristine")
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "ab_assets", folder / "package" / "ab_assets", ignore=ignore)
    world = World(Home(folder / "home"), folder / "package", folder / "package")
    world.write()
    for name, files in FILES.items():
        for file, text in files.items():
            (world.home.folder(name) / file).write_text(text)
    publish_all(world.home)
    assert not [step for step in steps_of(world.home) if step.reasons]
    return folder


@pytest.fixture(scope="module")
def worlds(pristine, tmp_path_factory):
    """Return a function that makes a new world; what is read of code is read from its copy of the package."""
    patch = pytest.MonkeyPatch()
    package = tmp_path_factory.mktemp("package")
    unchanged, seen = code_version._read, {}

    def read(path, module, stamp):
        text = path.read_bytes()
        if (path, text) not in seen:
            seen[path, text] = unchanged.__wrapped__(path, module, stamp)
        return seen[path, text]

    patch.setattr(code_version, "_ROOT", package)
    patch.setattr(code_version, "_read", read)
    patch.setattr(code_version, "_bytes_digest", code_version._bytes_digest.__wrapped__)
    patch.setattr(code_changes, "_ROOT", package)
    shutil.copytree(pristine / "package", package, dirs_exist_ok=True)

    def new() -> World:
        home = package / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(pristine / "home", home)
        return World(Home(home), package, pristine / "package")

    def restore(kinds) -> None:
        forget_the_code()
        if any(kind.family == "code" for kind in kinds):
            shutil.rmtree(package / "ab_assets")
            shutil.copytree(pristine / "package" / "ab_assets", package / "ab_assets")

    yield new, restore
    patch.undo()
    forget_the_code()


def injected(worlds, kinds, seed):
    """Return (the world, what must be named, the plan) after these changes."""
    new, restore = worlds
    draw = random.Random(seed)
    world = new()
    try:
        forget_the_code()
        expected: dict[Ref, set[str]] = {}
        for kind in sorted(kinds, key=lambda kind: kind.family != "store"):
            for ref, reasons in kind.inject(world, draw).items():
                expected.setdefault(ref, set()).update(reasons)
        forget_the_code()
        steps = steps_of(world.home)
        words = {step.ref: reasons_of(step, "a commit", world.look) for step in steps}
        return world, expected, steps, words
    finally:
        restore(kinds)


def agree(world, expected, steps, words) -> None:
    planned = {step.ref for step in steps}
    expected = {
        ref: {one for one in reasons if one.startswith(ALONE)} or reasons
        for ref, reasons in expected.items()
        if ref in planned
    }
    begins = causes(steps)
    worded = {step.ref: dict(zip(step.reasons, words[step.ref], strict=True)) for step in steps}
    own = {ref: {worded[ref][one] for one in found[ref]} for ref, found in begins.items() if ref in found}
    assert own == expected
    cut = {step.ref for step in steps if step.status == "new"}
    for step in steps:
        above = _above(step.ref, world.home.benchmark(step.ref.benchmark), cut)
        assert set(begins[step.ref]) == (above | {step.ref}) & expected.keys()
        assert bool(step.reasons) == bool(begins[step.ref])


def _above(ref: Ref, benchmark, cut: set[Ref]) -> set[Ref]:
    found: set[Ref] = set()
    for source in upstream_refs(NODES[ref.asset], ref, benchmark) if ref not in cut else ():
        found |= {source} | _above(source, benchmark, cut)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("seed", [1])
def test_each_kind_of_change_is_named_by_exactly_the_partitions_that_it_concerns(worlds, kind, seed):
    agree(*injected(worlds, [kind], seed))


@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("kind", [one for one in KINDS if one.drawn], ids=lambda kind: kind.name)
def test_wherever_a_change_falls_it_is_named(worlds, kind, seed):
    agree(*injected(worlds, [kind], seed))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(KINDS), min_size=2, max_size=4, unique_by=lambda kind: kind.family),
    st.sampled_from([kind for kind in HARMLESS if kind.family != "files"]),
    st.integers(0, 2**32),
)
def test_changes_that_meet_are_all_named(worlds, kinds, harmless, seed):
    note(f"{[kind.name for kind in kinds]} {harmless.name} {seed}")
    if "models" in {kind.family for kind in kinds}:
        # a model that is not there says nothing of its own, and nothing reads it
        kinds = [kind for kind in kinds if not kind.family.startswith("model ") and kind.name != "upstream result"]
    agree(*injected(worlds, [*kinds, harmless], seed))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", HARMLESS, ids=lambda kind: kind.name)
def test_what_decides_no_result_is_named_by_nothing(worlds, kind, seed):
    *_, steps, words = injected(worlds, [kind], seed)
    assert {ref: said for ref, said in words.items() if said} == {}
    assert len(steps) == len({step.ref for step in steps}) == 2 * 9 + 3 * 6 + 2
