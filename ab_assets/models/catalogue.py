"""The models that can be compared: those that come with the project and those in the user's own files."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ab_assets.errors import BadInputError, UnknownNameError, UnreadableFileError
from ab_assets.keys import is_key, require_key
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

    Raises UnreadableFileError for a file that is no TOML, BadInputError for a name that is no key or is taken, and
    for tables that say something the schema does not know (all of a file's problems at once).
    """
    specs: dict[str, ModelSpec] = {}
    origin: dict[str, Path] = {}
    for file in [BUILT_IN, *_user_files(user_directory)]:
        for spec in read_model_file(file):
            if spec.name in specs:
                raise BadInputError(
                    what=f"the model name {spec.name!r} is already taken",
                    where=str(file),
                    found=f"[{spec.name}] also in {origin[spec.name].name}",
                    hint="Give the new model another name.",
                )
            specs[spec.name] = spec
            origin[spec.name] = file
    return specs


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


def read_model_file(file: Path) -> list[ModelSpec]:
    """Return the models of one TOML file, one per [name] table; paths in it are relative to its folder."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFileError(what="this is no TOML file", where=str(file), found=str(error)) from error
    specs: list[ModelSpec] = []
    problems: list[str] = []
    for name, table in tables.items():
        require_key(name, kind="model")
        if not isinstance(table, dict):
            problems.append(f"{name}: a model is a table ([{name}]), not a value")
            continue
        try:
            specs.append(_with_absolute_paths(ModelSpec(name=name, **_without_name(table)), file))
        except ValidationError as error:
            problems += [_in_words(name, detail) for detail in error.errors()]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise BadInputError(what=f"the model file has {len(problems)} problem(s):{listed}", where=str(file))
    return specs


def _user_files(directory: Path | None) -> list[Path]:
    return sorted(directory.glob("*.toml")) if directory is not None and directory.is_dir() else []


def _without_name(table: dict[str, Any]) -> dict[str, Any]:
    # the table's own heading is the name; a key "name" in it would be a second, contradicting one
    return {("name (the heading is the name)" if key == "name" else key): value for key, value in table.items()}


def _with_absolute_paths(spec: ModelSpec, file: Path) -> ModelSpec:
    if not isinstance(spec.source, LocalSource):
        return spec
    directory = str((file.parent / Path(spec.source.directory).expanduser()).resolve())
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
