"""Where a result comes from, and whether it still answers what is asked: for a person, for a machine, for the UI."""

from __future__ import annotations

import html
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ab_assets.artifacts.fingerprint import changes
from ab_assets.artifacts.provenance import package_versions, source_at
from ab_assets.errors import BadInputError, InvalidBenchmarkError, UnknownNameError
from ab_assets.plan import plan
from ab_assets.provenance.code_changes import changed_definitions, in_words
from ab_assets.provenance.lineage import lineage_of, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ab_assets.artifacts.store import Artifact, Ref
    from ab_assets.home import Home
    from ab_assets.plan import Step
    from ab_assets.provenance.code_changes import Look
    from ab_assets.provenance.lineage import Branch, Input, Lineage, Origin

Document = dict[str, Any]
_PACKAGE = "ab_assets."
_WIDTH, _INDENT = 118, "     "
_ENVIRONMENT = ("git_revision", "python", "packages", "host", "cpus", "image")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a partition shows. status: as in the plan, or "unplanned" when benchmark.toml cannot be asked."""

    ref: Ref
    status: Literal["fresh", "stale", "new", "unplanned"]
    reasons: tuple[str, ...]
    lineage: Lineage
    step: Step | None = None

    @property
    def artifact(self) -> Artifact:
        """What it shows."""
        return self.lineage.origins[self.lineage.root].artifact


def explain(home: Home, ref: Ref) -> Explanation:
    """Return where what the partition shows comes from, and why it is stale if it is.

    A benchmark whose folder is gone or broken is explained as long as its results are kept. Raises UnknownNameError,
    MissingArtifactError when nothing was published, CorruptArtifactError when that cannot be read.
    """
    store = home.store
    try:
        benchmark = home.benchmark(ref.benchmark)
    except (UnknownNameError, InvalidBenchmarkError) as error:
        shown = store.current(ref)
        if shown is None:
            raise
        return Explanation(ref, "unplanned", (error.problem.what,), lineage_of(store, shown))
    lineage = lineage_of(store, store.require(ref))
    steps = plan([(benchmark, home.folder(benchmark.name))], home.catalogue(), store)
    step = next((one for one in steps if one.ref == ref), None)
    if step is None:
        return Explanation(ref, "unplanned", ("benchmark.toml does not ask for it any more",), lineage)
    made = lineage.origins[lineage.root].made
    return Explanation(ref, step.status, reasons_of(step, made["git_revision"]), lineage, step)


def reasons_of(step: Step, revision: str, look: Look = source_at) -> tuple[str, ...]:
    """Return why a partition has to be made, functions by name; `revision`: the commit at which it was made before.

    `look`: returns a file's text at a commit, or None.
    """
    words = {str(change): in_words(change, revision, look) for change in step.changes}
    return tuple(words.get(reason, reason) for reason in step.reasons)


def causes(steps: Iterable[Step]) -> dict[Ref, dict[Ref, tuple[str, ...]]]:
    """Return, of each partition, where it begins: {partition at or above it: reasons of its own}.

    `steps`: a plan, upstream first. What is not there yet is its own cause, whatever it waits for.
    """
    kept = list(steps)
    waiting = {f"{step.ref} is {how}": step.ref for step in kept for how in ("stale", "not made yet")}
    found: dict[Ref, dict[Ref, tuple[str, ...]]] = {}
    for step in kept:
        own = tuple(reason for reason in step.reasons if reason not in waiting)
        found[step.ref] = {}
        for above in (waiting[reason] for reason in step.reasons if reason in waiting):
            found[step.ref] |= found.get(above, {})
        if own:
            found[step.ref] = {step.ref: own} | ({} if step.status == "new" else found[step.ref])
    return found


def change_rows(step: Step, revision: str) -> list[Document]:
    """Return the changes of a step as JSON values: part, name, how, before, after, definitions (of changed code)."""
    return [
        asdict(change) | {"definitions": list(changed_definitions(change, revision)) if change.part == "code" else []}
        for change in step.changes
    ]


def why(artifact: Artifact, *, reused: bool) -> list[str]:
    """Return why this result is shown: what it answers that the version before did not."""
    if reused:
        return [f"nothing had to be computed: this question was answered {artifact.manifest['made']['at']}"]
    before = artifact.manifest.get("before")
    if before is None:
        return ["it was not made before"]
    kept = artifact.store.holding(artifact.question["asset"], before["digest"])
    earlier = next((item for item in kept if item.fingerprint == before["fingerprint"]), None)
    if earlier is None:
        return [f"the version before, {short(before['digest'])}, is not in the store any more"]
    revision = earlier.manifest["made"]["git_revision"]
    found = [in_words(change, revision) for change in changes(earlier.question, artifact.question)]
    return found or ["nothing changed: it was asked for again, or files of it were missing"]


def explanation_lines(explanation: Explanation) -> list[str]:
    """Return an explanation as lines of text: is it stale, the tree down to the files, environments, code."""
    verdicts = {"fresh": "is up to date.", "unplanned": "is kept, but not planned:"}
    lines = [f"{explanation.ref} {verdicts.get(explanation.status, 'is stale:')}"]
    lines += [f"  - {reason}" for reason in explanation.reasons]
    environments = _environments(explanation.lineage.origins.values())
    lines += ["", *tree_lines(explanation.lineage, environments), "", "Environments"]
    for number, environment in enumerate(environments, start=1):
        lines += _environment_lines(number, environment)
    lines += ["", f"Code, modules of {_PACKAGE[:-1]} (--json has the digest of each)"]
    return lines + _code_lines(explanation.lineage)


def tree_lines(lineage: Lineage, environments: list[Document] | None = None) -> list[str]:
    """Return the results and files as a tree, one line each."""
    known = _environments(lineage.origins.values()) if environments is None else environments
    return _branch_lines(lineage.tree(), known)


def explanation_document(explanation: Explanation) -> Document:
    """Return an explanation as one JSON value."""
    lineage, ref = explanation.lineage, explanation.ref
    revision = lineage.origins[lineage.root].made["git_revision"]
    return {
        "asset": ref.asset,
        "benchmark": ref.benchmark,
        "model": ref.model,
        "status": explanation.status,
        "reasons": list(explanation.reasons),
        "changes": change_rows(explanation.step, revision) if explanation.step else [],
        "shown": lineage.root,
        "artifacts": [
            {
                "key": key,
                "label": origin.label,
                "digest": origin.artifact.digest,
                "fingerprint": origin.artifact.fingerprint,
                "question": dict(origin.artifact.question),
                "code_version": origin.code_version,
                "made": dict(origin.made),
                "metadata": dict(origin.artifact.metadata),
                "files": dict(origin.artifact.manifest["files"]),
                "inputs": [asdict(one) for one in origin.inputs],
            }
            for key, origin in lineage.origins.items()
        ],
    }


def provenance_markdown(artifact: Artifact) -> str:
    """Return where a result comes from as markdown for the UI: the tree, then where it was computed."""
    lineage = lineage_of(artifact.store, artifact)
    environments = _environments(lineage.origins.values())
    lines = [*tree_lines(lineage, environments), ""]
    for number, environment in enumerate(environments, start=1):
        lines += _environment_lines(number, environment, compare=False)
    text = "\n".join(lines).replace("```", "'''")
    return f"```text\n{text}\n```"


def why_markdown(reasons: Iterable[str]) -> str:
    """Return reasons as a markdown list."""
    return "\n".join(f"- {html.escape(reason)}" for reason in reasons)


def asked_ref(ref: Ref, *, per_model: bool, models: Iterable[str]) -> Ref:
    """Return the partition when it is one: a model exactly where the asset has one. Raises BadInputError."""
    if per_model and ref.model is None:
        known = ", ".join(models)
        raise BadInputError(what=f"{ref.asset} is made per model", expected=f"a model after the benchmark: {known}")
    if ref.model is not None and not per_model:
        raise BadInputError(what=f"{ref.asset} is made per benchmark, not per model", found=ref.model)
    return ref


def _branch_lines(branch: Branch, environments: list[Document]) -> list[str]:
    if branch.origin is None:
        return [_file_line(branch.entered)] if branch.entered else []
    blocks = [_branch_lines(one, environments) for one in branch.below]
    if branch.above:
        blocks.append([f"and, told above: {', '.join(branch.above)}"])
    lines = [_line(branch.origin, environments)]
    for index, block in enumerate(blocks):
        head, rest = ("└─ ", "   ") if index == len(blocks) - 1 else ("├─ ", "│  ")
        lines += [f"{rest if place else head}{line}" for place, line in enumerate(block)]
    return lines


def _line(origin: Origin, environments: list[Document]) -> str:
    made = origin.made
    title = f"{origin.label}  {short(origin.artifact.digest)}"
    parts = [f"made {made['at']} in {made['seconds']:.1f} s"]
    if "gpu_seconds_requested" in made:
        used = f", {made['gpu_seconds_used']:.1f} used" if "gpu_seconds_used" in made else ""
        parts.append(f"{made['gpu_seconds_requested']:.1f} GPU-seconds requested{used}")
    parts.append(f"peak {made['peak_memory_bytes'] / 2**30:.2f} GiB")
    if "peak_gpu_memory_bytes" in made:
        parts.append(f"GPU peak {made['peak_gpu_memory_bytes'] / 2**30:.2f} GiB")
    parts.append(f"environment {environments.index(_environment(made)) + 1}")
    if revision := origin.artifact.question["model"].get("source", {}).get("revision"):
        parts.append(f"model revision {short(revision)}")
    if origin.code_version:
        parts.append(f"code {origin.code_version}")
    if origin.times > 1:
        parts.append(f"the same content was made {origin.times} times")
    return f"{title}  {', '.join(parts)}"


def _file_line(entered: Input) -> str:
    if entered.kind == "gone":
        return f"{entered.name}  {short(entered.digest)}  is not in the store any more"
    size = f"  {entered.bytes:,} bytes" if entered.bytes is not None else ""
    return f"{entered.name}  sha256 {entered.digest}{size}"


def _environment(made: Mapping[str, Any]) -> Document:
    return {name: made.get(name) for name in _ENVIRONMENT}


def _environments(origins: Iterable[Origin]) -> list[Document]:
    found: list[Document] = []
    for origin in origins:
        if (environment := _environment(origin.made)) not in found:
            found.append(environment)
    return found


def _environment_lines(number: int, environment: Document, *, compare: bool = True) -> list[str]:
    image = environment["image"] or "none"
    git = environment["git_revision"] or "not a checkout"
    packages = environment["packages"] or {}
    where = f"git {git}, python {environment['python']}, host {environment['host']} ({environment['cpus']} CPUs)"
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    lines = [f"  {number}  {where}, image {image}", f"     {listed}"]
    here = packages | package_versions() if compare else packages
    other = [f"{name} {was} -> {here[name]}" for name, was in packages.items() if here[name] != was]
    if other:
        lines.append(f"     other here and now, which makes nothing stale: {', '.join(other)}")
    return lines


def _code_lines(lineage: Lineage) -> list[str]:
    told: dict[str, tuple[list[str], list[str]]] = {}
    for origin in lineage.origins.values():
        if origin.code_version:
            assets, _ = told.setdefault(origin.code_version, ([], list(origin.artifact.question["code"])))
            if origin.artifact.question["asset"] not in assets:
                assets.append(origin.artifact.question["asset"])
    lines: list[str] = []
    for version, (assets, modules) in told.items():
        names = ", ".join(module.removeprefix(_PACKAGE) for module in modules)
        lines.append(f"  {version}  {', '.join(assets)}")
        lines += textwrap.wrap(names, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return lines
