"""What is stale, and why: one pure function from (benchmarks, catalogue, store) to a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ab_assets.artifacts.fingerprint import changes, file_digest
from ab_assets.artifacts.store import Ref
from ab_assets.errors import CorruptArtifactError
from ab_assets.graph import CANDIDATES, NODES, Node, loaded_code, question_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ab_assets.artifacts.fingerprint import Change, Question
    from ab_assets.artifacts.store import Artifact, ArtifactStore
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.graph import Code
    from ab_assets.home import Home
    from ab_assets.models.catalogue import ModelSpec

Status = Literal["fresh", "stale", "new"]
Digest = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Step:
    """One partition of one asset. `reasons` is empty exactly when it is fresh.

    `asked`: the fingerprint of what a run would ask of its inputs now, "" for a model that is not in the catalogue.
    `posed`: the same without what its own job makes, so that it stays while that job goes on.
    `answered`: what it shows answers that; a report made without a model that is still missing is stale and answered.
    `changes`: in what the question differs from the one that it shows an answer to; they come first in `reasons`.
    """

    ref: Ref
    status: Status
    reasons: tuple[str, ...] = ()
    asked: str = ""
    posed: str = ""
    answered: bool = False
    changes: tuple[Change, ...] = ()


def source_digests(benchmark: Benchmark, folder: Path, digest: Digest = file_digest) -> dict[str, str]:
    """Return {file: sha256} of the files the benchmark declares; files that are not there are left out."""
    return {name: digest(folder / name) for name in benchmark.source.received if (folder / name).is_file()}


def candidate_digests(benchmark: Benchmark, folder: Path, digest: Digest = file_digest) -> dict[str, str]:
    """Return {file: sha256} of the unlabelled antibodies to score."""
    return {name: digest(folder / name) for name in benchmark.candidates.files if (folder / name).is_file()}


def has_candidates(benchmark: Benchmark, curated: Artifact | None) -> bool:
    """Tell whether there are antibodies to score: candidate files, or rows without a label among the `curated`."""
    return bool(benchmark.candidates.files) or bool(curated is not None and curated.metadata.get("unlabelled"))


def plan(
    benchmarks: Iterable[tuple[Benchmark, Path]],
    catalogue: Mapping[str, ModelSpec],
    store: ArtifactStore,
    *,
    digest: Digest = file_digest,
    code: Code = loaded_code,
) -> list[Step]:
    """Return every partition these benchmarks consist of, upstream first, each fresh, stale or new, and why.

    `digest`: how the sha256 of a file in a benchmark's folder is found; who asks often may remember it. `code`: which
    code decides; who has others do the work asks with what they will load.
    """
    steps: list[Step] = []
    for benchmark, folder in benchmarks:
        steps += _plan_one(benchmark, folder, catalogue, store, digest=digest, code=code)
    return steps


def _plan_one(
    benchmark: Benchmark,
    folder: Path,
    catalogue: Mapping[str, ModelSpec],
    store: ArtifactStore,
    *,
    digest: Digest,
    code: Code,
) -> list[Step]:
    steps: dict[Ref, Step] = {}
    shown: dict[Ref, Artifact | None] = {}
    for node in NODES.values():
        if node.name == CANDIDATES and not has_candidates(benchmark, shown.get(Ref("curated_dataset", benchmark.name))):
            continue
        for model in benchmark.models if node.per_model else (None,):
            ref = Ref(node.name, benchmark.name, model)
            if model is not None and model not in catalogue:
                shown[ref], steps[ref] = None, Step(ref, "new", (f"there is no model {model!r} in the catalogue",))
                continue
            upstream = upstream_refs(node, ref, benchmark)
            inputs = {source: found.digest for source in upstream if (found := shown[source])}
            before = [steps[source] for source in upstream]
            missing = {step.ref.model for step in before if step.reasons and step.ref.model and model is None}
            asked = full = question_for(
                ref, benchmark, folder, _named(inputs, node), catalogue, digest=digest, code=code
            )
            if missing:
                asked = question_for(ref, benchmark, folder, _named(inputs, node, missing), catalogue, code=code)
            given = {one: sha for one, sha in inputs.items() if NODES[one.asset].job != node.job}
            posed = asked
            if len(given) < len(inputs):
                named = _named(given, node, missing)
                posed = question_for(ref, benchmark, folder, named, catalogue, digest=digest, code=code)
            unmade = {input_name(source, node) for source in upstream if shown[source] is None}
            try:
                shown[ref] = store.current(ref)
            except CorruptArtifactError as error:
                reasons = (f"cannot be read: {error.problem.what}", *_waiting(before))
                shown[ref], step = None, Step(ref, "stale", reasons, asked.fingerprint)
            else:
                step = _step(ref, shown[ref], full, asked.fingerprint, before, unmade=unmade)
            steps[ref] = replace(step, posed=posed.fingerprint)
    return list(steps.values())


def _named(inputs: Mapping[Ref, str], node: Node, without: Collection[str] = ()) -> dict[str, str]:
    return {input_name(source, node): sha for source, sha in inputs.items() if source.model not in without}


def _step(
    ref: Ref,
    shown: Artifact | None,
    question: Question,
    asked: str,
    upstream: Sequence[Step],
    *,
    unmade: Collection[str],
) -> Step:
    """`unmade`: names of inputs that show nothing now; that they are missing is no change of the question."""
    waiting = _waiting(upstream)
    if shown is None:
        return Step(ref, "new", ("not made yet", *waiting), asked)
    differing = changes(shown.question, question.as_dict()) if shown.fingerprint != question.fingerprint else []
    changed = [one for one in differing if not (one.part == "inputs" and one.name in unmade)]
    damaged = sorted(shown.damaged_files())
    reasons = [*map(str, changed), *waiting]
    if damaged:
        reasons.insert(0, f"files are missing from the store: {', '.join(damaged)}")
    answered = not damaged and shown.fingerprint == asked
    status: Status = "stale" if reasons else "fresh"
    return Step(ref, status, tuple(reasons), asked, answered=answered, changes=tuple(changed))


def _waiting(upstream: Sequence[Step]) -> list[str]:
    waiting = [step for step in upstream if step.status != "fresh"]
    return [f"{step.ref} is {'not made yet' if step.status == 'new' else 'stale'}" for step in waiting]


def question_for(
    ref: Ref,
    benchmark: Benchmark,
    folder: Path,
    inputs: Mapping[str, str],
    catalogue: Mapping[str, ModelSpec],
    *,
    digest: Digest = file_digest,
    code: Code = loaded_code,
) -> Question:
    """Return the question behind a partition, source files included."""
    found = dict(inputs)
    if ref.asset == "raw_dataset":
        found |= source_digests(benchmark, folder, digest)
    elif ref.asset == CANDIDATES:
        found |= candidate_digests(benchmark, folder, digest)
    return question_of(ref.asset, benchmark, found, spec=catalogue[ref.model] if ref.model else None, code=code)


def question_now(home: Home, ref: Ref) -> Question:
    """Return the question behind a partition, asked of what its inputs show now.

    Raises MissingArtifactError when an input has not been made; an asset that gathers models does without those that
    are missing or stale (`missing_models`).
    """
    benchmark, node = home.benchmark(ref.benchmark), NODES[ref.asset]
    missing = missing_models(home, ref)
    inputs = {
        input_name(source, node): home.store.require(source).digest
        for source in upstream_refs(node, ref, benchmark)
        if source.model not in missing
    }
    return question_for(ref, benchmark, home.folder(ref.benchmark), inputs, home.catalogue())


def missing_models(home: Home, ref: Ref) -> dict[str, str]:
    """Return {model: why} of the models whose results an asset that gathers them has to do without."""
    node = NODES[ref.asset]
    if ref.model is not None or not any(NODES[name].per_model for name in node.inputs):
        return {}
    benchmark = home.benchmark(ref.benchmark)
    steps = plan([(benchmark, home.folder(benchmark.name))], home.catalogue(), home.store)
    wanted = set(upstream_refs(node, ref, benchmark))
    return {
        step.ref.model: f"{step.ref.asset}: {'; '.join(step.reasons)}"
        for step in steps
        if step.ref.model and step.ref in wanted and step.reasons
    }


def upstream_refs(node: Node, ref: Ref, benchmark: Benchmark) -> list[Ref]:
    """Return the partitions that this one reads: all of the benchmark's models where it gathers them."""
    found: list[Ref] = []
    for name in node.inputs:
        if not NODES[name].per_model:
            found.append(Ref(name, benchmark.name))
        elif ref.model is not None:
            found.append(Ref(name, benchmark.name, ref.model))
        else:
            found += [Ref(name, benchmark.name, model) for model in benchmark.models]
    return found


def input_name(source: Ref, node: Node) -> str:
    """Return the name under which an upstream partition enters the fingerprint."""
    gathered = source.model is not None and not node.per_model
    return f"{source.asset}[{source.model}]" if gathered else source.asset
