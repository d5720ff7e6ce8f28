"""The models that can be compared: those that come with the project and those in the user's own files."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ab_assets.errors import BadInputError, UnknownNameError, UnreadableFileError
from ab_assets.keys import is_key, require_key
from ab_assets.models.availability import PINS
from ab_assets.models.specification import (
    HubSource,
    LocalSource,
    ModelSpec,
    Needs,
    PackageSource,
    Pairing,
    RecipeTable,
    Table,
    TwinSource,
)

__all__ = ["ModelSpec", "get_model", "load_catalogue", "read_model_file"]

BUILT_IN = Path(__file__).with_name("catalogue.toml")

_TABLES: dict[tuple[str, ...], type[Table]] = {
    (): ModelSpec,
    ("recipe",): RecipeTable,
    ("needs",): Needs,
    ("pairing",): Pairing,
    ("source", "package"): PackageSource,
    ("source", "hub"): HubSource,
    ("source", "local"): LocalSource,
    ("source", "twin"): TwinSource,
}


def load_catalogue(user_directory: Path | None = None) -> dict[str, ModelSpec]:
    """Return every model by name: the built-in ones in their order, then those of `user_directory`/*.toml.

    The directories of built-in local models are relative to `user_directory`; its pins.toml pins models that are not.

    Raises UnreadableFileError for a file that is no TOML, BadInputError for a name that is no key or is taken, and
    for tables that say something the schema does not know (all of a file's problems at once).
    """
    specs: dict[str, ModelSpec] = {}
    origin: dict[str, Path] = {}
    for file in [BUILT_IN, *_user_files(user_directory)]:
        for spec in read_model_file(file, folder=user_directory if file == BUILT_IN else file.parent):
            if spec.name in specs:
                raise BadInputError(
                    what=f"the model name {spec.name!r} is already taken",
                    where=str(file),
                    found=f"[{spec.name}] also in {origin[spec.name].name}",
                    hint="Give the new model another name.",
                )
            specs[spec.name] = spec
            origin[spec.name] = file
    return specs | _pinned(specs, user_directory) if user_directory is not None else specs


def get_model(catalogue: dict[str, ModelSpec], name: str) -> ModelSpec:
    """Return the model of that name, or raise UnknownNameError with the nearest names."""
    if name in catalogue:
        return catalogue[name]
    if not is_key(name):
        require_key(name, kind="model")
    near = difflib.get_close_matches(name, catalogue, n=3)
    raise UnknownNameError(
        what=f"there is no model {name!r}",
        expected=f"one of {', '.join(near or catalogue)}",
        hint="`ab-assets models` lists all of them.",
    )


def read_model_file(file: Path, *, folder: Path | None = None) -> list[ModelSpec]:
    """Return the models of one TOML file, one per [name] table; paths in it are relative to `folder`, if any."""
    tables = _read_toml(file)
    specs: list[ModelSpec] = []
    problems: list[str] = []
    for name, table in tables.items():
        require_key(name, kind="model")
        if not isinstance(table, dict):
            problems.append(f"{name}: a model is a table ([{name}]), not a value")
            continue
        try:
            specs.append(_with_absolute_paths(ModelSpec(name=name, **_without_name(table)), folder))
        except ValidationError as error:
            problems += [_in_words(name, detail) for detail in error.errors()]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise BadInputError(what=f"the model file has {len(problems)} problem(s):{listed}", where=str(file))
    return specs


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFileError(what="this is no TOML file", where=str(file), found=str(error)) from error


def _user_files(directory: Path | None) -> list[Path]:
    if directory is None or not directory.is_dir():
        return []
    return sorted(file for file in directory.glob("*.toml") if file.name != PINS)


def _pinned(specs: dict[str, ModelSpec], directory: Path) -> dict[str, ModelSpec]:
    file = directory / PINS
    pinned = {}
    for name, revision in (_read_toml(file) if file.is_file() else {}).items():
        spec = get_model(specs, name)
        if isinstance(spec.source, TwinSource) or spec.source.revision:
            raise BadInputError(
                what=f"model {name} needs no pin: it has one already", where=str(file), hint="Take the line out."
            )
        try:
            source = type(spec.source).model_validate(spec.source.model_dump() | {"revision": revision})
        except ValidationError as error:
            raise BadInputError(
                what=f"the pin of {name} is none",
                where=str(file),
                found=repr(revision),
                expected="a commit hash (40 digits of 0-9, a-f) or a sha256 (64)",
            ) from error
        pinned[name] = spec.model_copy(update={"source": source})
    return pinned


def _without_name(table: dict[str, Any]) -> dict[str, Any]:
    # the table's own heading is the name; a key "name" in it would be a second, contradicting one
    return {("name (the heading is the name)" if key == "name" else key): value for key, value in table.items()}


def _with_absolute_paths(spec: ModelSpec, folder: Path | None) -> ModelSpec:
    if not isinstance(spec.source, LocalSource) or folder is None:
        return spec
    directory = str((folder / Path(spec.source.directory).expanduser()).resolve())
    return spec.model_copy(update={"source": spec.source.model_copy(update={"directory": directory})})


def _in_words(name: str, detail: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    location = tuple(str(part) for part in detail["loc"])
    # the discriminator ("hub") is a step in pydantic's location, but no table in the file
    heading = ".".join([name, *location[:1]]) if len(location) > 1 else name
    key = location[-1]
    table = _TABLES.get(location[:-1])
    if detail["type"] == "extra_forbidden" and table is not None:
        known = [field for field in table.model_fields if field != "name"]
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"[{heading}] unknown key {key!r}; {hint}"
    if detail["type"] == "missing":
        return f"[{heading}] {key!r} is missing"
    return f"[{heading}] {key}: {detail['msg']} (found {detail['input']!r})"
