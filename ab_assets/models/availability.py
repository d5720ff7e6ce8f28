"""Where a model's files are on this machine, what is missing, and what to bring; nothing here loads weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from ab_assets.errors import BadInputError, CorruptArtifactError, UnavailableError, UnreadableFileError
from ab_assets.models.specification import HubSource, LocalSource, ModelSpec, PackageSource, TwinSource

CONFIG = "config.json"
VOCABULARIES = ("vocab.txt", "vocab.json", "tokenizer.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"  # after the name of weights that come in shards
PINS = "pins.toml"  # in the user's models folder: name = "revision" for models that say none
_BYTES_PER_PARAMETER = 4  # every model of the catalogue is published in float32
_SAFETENSORS = ["model.safetensors", f"model.safetensors{INDEX}", "model-*-of-*.safetensors"]
_PICKLES = ["pytorch_model.bin", f"pytorch_model.bin{INDEX}", "pytorch_model-*-of-*.bin"]
_OTHER_NAMES = (
    "The weights may also be pytorch_model.bin, or shards with their .index.json; the vocabulary vocab.json or "
    "tokenizer.json."
)
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files a model is loaded from; `weights`: one file, or an index and the shards it names."""

    config: Path
    vocabulary: Path
    weights: tuple[Path, ...]

    @property
    def shards(self) -> tuple[Path, ...]:
        """The files that hold tensors."""
        return tuple(file for file in self.weights if not file.name.endswith(INDEX))


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a model can be loaded now. `download_bytes`: estimate of what a download fetches, None if it cannot."""

    available: bool
    where: str
    missing_files: tuple[str, ...] = ()
    download_bytes: int | None = None


def availability(spec: ModelSpec) -> Availability:
    """Tell whether the files of `spec` are on this machine, and otherwise which are missing and where they belong."""
    source = spec.source
    if isinstance(source, TwinSource):
        return Availability(available=True, where="made from its seed")
    if isinstance(source, PackageSource) and _installation(source) is None:
        return Availability(available=False, where="pip", missing_files=(source.distribution,))
    folder = _folder(source)
    missing = _missing(source, folder)
    download = spec.parameters * _BYTES_PER_PARAMETER if isinstance(source, HubSource) and missing else None
    return Availability(available=not missing, where=str(folder), missing_files=missing, download_bytes=download)


def require_available(spec: ModelSpec) -> Availability:
    """Return the availability of a model that can be loaded now.

    Raises UnavailableError that names the files to bring and the place to put them, BadInputError when the model's
    revision is not pinned.
    """
    require_pinned(spec)
    found = availability(spec)
    if found.available:
        return found
    return _refuse(spec, found)


def require_pinned(spec: ModelSpec) -> None:
    """Raise BadInputError, saying how to pin it, when nothing says which weights `spec` means and that is not allowed.

    A local directory has to be complete to be pinned: UnavailableError names what it lacks.
    """
    source = spec.source
    if isinstance(source, TwinSource) or source.revision:
        return
    if not isinstance(source, PackageSource) and source.allow_unpinned:
        return
    pin = "<the commit hash that its page shows>"
    if isinstance(source, LocalSource):
        found = availability(spec)
        if not found.available:
            _refuse(spec, found)
        pin = directory_digest(_folder(source))
    raise BadInputError(
        what=f"model {spec.name} is not pinned: it does not say which weights it means",
        hint=f'Write {spec.name} = "{pin}" into $AB_ASSETS_HOME/models/{PINS}, or in a model file of your own '
        f'revision = "{pin}" under [{spec.name}.source]; allow_unpinned = true there takes whatever is found.',
    )


def obtain_files(spec: ModelSpec) -> ModelFiles:
    """Return the files of `spec`, checked against its pin; a pinned hub revision is downloaded where it is missing.

    Raises UnavailableError when they cannot be had, CorruptArtifactError when they are not the pinned ones.
    """
    require_pinned(spec)
    source = spec.source
    found = availability(spec)
    if not found.available and isinstance(source, HubSource):
        _download(spec, source, found)
        found = availability(spec)
    if not found.available or isinstance(source, TwinSource):
        _refuse(spec, found)
    folder = _folder(source)
    files = ModelFiles(folder / CONFIG, _vocabulary(source, folder), _weights(folder))
    _require_digest(spec, files)
    return files


def directory_digest(folder: Path) -> str:
    """Return the sha256 that pins a model directory: over the names and contents of the files that are read."""
    digest = hashlib.sha256()
    for file in (folder / CONFIG, _first(folder, VOCABULARIES), *_weights(folder)):
        digest.update(f"{file.name} {file_digest(file)}\n".encode())
    return digest.hexdigest()


def file_digest(file: Path) -> str:
    """Return the sha256 of a file's content."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _refuse(spec: ModelSpec, found: Availability) -> NoReturn:
    source = spec.source
    if isinstance(source, PackageSource):
        hint = f"Install it: pip install {source.distribution}"
    elif isinstance(source, HubSource):
        revision = f" --revision {source.revision}" if source.revision else ""
        hint = (
            f"Download them where there is a network (hf download {source.repository}{revision}) "
            f"and put them into {found.where}. {_OTHER_NAMES}"
        )
    else:
        hint = f"Put them into {found.where}. {_OTHER_NAMES}"
    raise UnavailableError(
        what=f"the weights of model {spec.name} are not on this machine",
        where=found.where,
        found=f"no {', '.join(found.missing_files)}",
        hint=hint,
    )


def _installation(source: PackageSource) -> metadata.Distribution | None:
    name, _, version = source.distribution.partition("==")
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return distribution if distribution.version == version else None


def _folder(source: PackageSource | HubSource | LocalSource | TwinSource) -> Path:
    if isinstance(source, LocalSource):
        return Path(source.directory)
    if isinstance(source, PackageSource):
        return Path(str(metadata.distribution(source.distribution.partition("==")[0]).locate_file(source.directory)))
    if isinstance(source, HubSource):
        from huggingface_hub.constants import HF_HUB_CACHE  # noqa: PLC0415 - 0.2 s that most commands do not need

        repository = Path(HF_HUB_CACHE) / ("models--" + source.repository.replace("/", "--"))
        branch = repository / "refs" / "main"
        revision = source.revision or (branch.read_text(encoding="utf-8").strip() if branch.is_file() else "main")
        return repository / "snapshots" / revision
    return Path()


def _vocabulary(source: PackageSource | HubSource | LocalSource | TwinSource, folder: Path) -> Path:
    if isinstance(source, PackageSource):
        return Path(str(metadata.distribution(source.distribution.partition("==")[0]).locate_file(source.vocabulary)))
    return _first(folder, VOCABULARIES)


def _first(folder: Path, names: tuple[str, ...]) -> Path:
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def _weights(folder: Path) -> tuple[Path, ...]:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return (folder / name,)
        if (index := folder / f"{name}{INDEX}").is_file():
            return (index, *(folder / shard for shard in _shards(index)))
    return (folder / WEIGHTS[0],)


def _shards(index: Path) -> list[str]:
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if shards and all(Path(shard).name == shard for shard in shards):
            return shards
        problem = f"{shards[:3]}"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = repr(error)
    raise UnreadableFileError(
        what="this index does not say which files beside it hold the weights", where=str(index), found=problem
    )


def _missing(source: PackageSource | HubSource | LocalSource | TwinSource, folder: Path) -> tuple[str, ...]:
    wanted = (folder / CONFIG, *_weights(folder), _vocabulary(source, folder))
    return tuple(file.name for file in wanted if not file.is_file())


def _download(spec: ModelSpec, source: HubSource, found: Availability) -> None:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - see above

    revision = source.revision or None
    try:
        files = [CONFIG, *VOCABULARIES, *_SAFETENSORS]
        snapshot_download(source.repository, revision=revision, allow_patterns=files)
        if _missing(source, _folder(source)):
            snapshot_download(source.repository, revision=revision, allow_patterns=_PICKLES)
    except OSError as error:  # every failure of the hub client is one: no network, offline mode, no such revision
        try:
            _refuse(spec, found)
        except UnavailableError as refusal:
            raise refusal from error


def _require_digest(spec: ModelSpec, files: ModelFiles) -> None:
    source = spec.source
    if isinstance(source, PackageSource):
        (weights,) = files.weights
        actual = file_digest(weights)
    elif isinstance(source, LocalSource) and source.revision:
        actual = directory_digest(Path(source.directory))
    else:
        return  # a commit hash names its files; the hub client checks what it fetches
    if actual != source.revision:
        raise CorruptArtifactError(
            what=f"the weights of model {spec.name} are not the ones its revision names",
            where=str(files.weights[0].parent),
            found=actual,
            expected=source.revision,
            hint="Restore the files, or give changed weights a model name of their own.",
        )
