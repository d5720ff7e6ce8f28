"""From a result back to the source files: what was made from what, each artifact once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.graph import NODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ab_assets.artifacts.store import Artifact, ArtifactStore

_SHORT = 12


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a result was made from.

    kind: a "result", a source "file", or a result that is "gone" from the store. `digest`: of its content; `bytes`: of
    a file, where a copy of it is kept; `key`: of the result in `Lineage.origins`.
    """

    name: str
    kind: Literal["result", "file", "gone"]
    digest: str
    bytes: int | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """One result with what it was made from. `times`: how often the same content was made, by this code or other."""

    artifact: Artifact
    inputs: tuple[Input, ...]
    times: int = 1

    @property
    def label(self) -> str:
        """Its asset and the partition for which it was made first; another benchmark may show it, too."""
        manifest = self.artifact.manifest
        model = f"|{manifest['partition_model']}" if manifest["partition_model"] else ""
        return f"{manifest['asset']}[{manifest['benchmark']}{model}]"

    @property
    def made(self) -> Mapping[str, Any]:
        """When, where and at what cost."""
        made: Mapping[str, Any] = self.artifact.manifest["made"]
        return made

    @property
    def code_version(self) -> str:
        """The digest of the modules that decided it, as Dagster shows it; empty where none did."""
        code = self.artifact.question["code"]
        return digest_of(code)[:16] if code else ""


@dataclass(frozen=True, slots=True)
class Branch:
    """A result and, below it, what it was made from; `above`: labels of those results that were told before.

    `entered` without `origin`: a file, or a result that is gone.
    """

    origin: Origin | None
    entered: Input | None = None
    below: tuple[Branch, ...] = ()
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """All that a result rests on. `origins`: each once, the result itself first, by the name of its folder."""

    root: str
    origins: Mapping[str, Origin]

    def tree(self) -> Branch:
        """Return the result with all that is below it, each result once: where it comes first."""
        return self._branch(self.origins[self.root], None, set())

    def _branch(self, origin: Origin, entered: Input | None, told: set[str]) -> Branch:
        told.add(origin.artifact.folder.name)
        below: list[Branch] = []
        above: list[str] = []
        for one in origin.inputs:
            if not one.key:
                below.append(Branch(None, one))
            elif one.key in told:
                above.append(self.origins[one.key].label)
            else:
                below.append(self._branch(self.origins[one.key], one, told))
        return Branch(origin, entered, tuple(below), tuple(above))


def lineage_of(store: ArtifactStore, artifact: Artifact) -> Lineage:
    """Return what `artifact` was made from, down to the source files, by the digests that its manifest names."""
    origins: dict[str, Origin] = {}
    found: dict[tuple[str, str], list[Artifact]] = {}

    def visit(item: Artifact, times: int) -> None:
        key = item.folder.name
        if key in origins:
            return
        origins[key] = Origin(item, (), times)  # it has its place before what it was made from
        inputs, below = [], []
        for name, digest in _ordered(item):
            asset = name.partition("[")[0]
            if not _is_asset(item, asset):
                inputs.append(_file(item, name, digest))
                continue
            if (asset, digest) not in found:
                found[asset, digest] = store.holding(asset, digest)
            same = found[asset, digest]
            if not same:
                inputs.append(Input(name, "gone", digest))
                continue
            read = _read_by(item, name, same)
            inputs.append(Input(name, "result", digest, key=read.folder.name))
            below.append((read, len(same)))
        origins[key] = Origin(item, tuple(inputs), times)
        for read, count in below:
            visit(read, count)

    visit(artifact, len(store.holding(artifact.question["asset"], artifact.digest)))
    return Lineage(artifact.folder.name, origins)


def short(digest: str) -> str:
    """Return the digits of a digest that a person reads and types."""
    return digest[:_SHORT]


def _ordered(artifact: Artifact) -> list[tuple[str, str]]:
    """Return the inputs in the order in which the graph names them; files last."""
    node = NODES.get(artifact.question["asset"])
    places = {name: place for place, name in enumerate(node.inputs if node else ())}
    inputs = artifact.question["inputs"]
    return sorted(inputs.items(), key=lambda item: (places.get(item[0].partition("[")[0], len(places)), item[0]))


def _is_asset(artifact: Artifact, name: str) -> bool:
    node = NODES.get(artifact.question["asset"])
    return name in (node.inputs if node else NODES)


def _file(artifact: Artifact, name: str, digest: str) -> Input:
    kept = [entry["bytes"] for entry in artifact.manifest["files"].values() if entry["sha256"] == digest]
    return Input(name, "file", digest, bytes=kept[0] if kept else None)


def _read_by(reader: Artifact, name: str, same: list[Artifact]) -> Artifact:
    """Return the object of this content that was read: of the partition that was meant, the last one before it."""
    _, _, inside = name.partition("[")
    partition = reader.manifest["benchmark"], inside.removesuffix("]") or reader.manifest["partition_model"]
    before = [item for item in same if item.manifest["made"]["at_ns"] <= reader.manifest["made"]["at_ns"]] or same[:1]
    own = [item for item in before if item.manifest["benchmark"] == partition[0]]
    exact = [item for item in own if item.manifest["partition_model"] in (None, partition[1])]
    return (exact or own or before)[-1]
