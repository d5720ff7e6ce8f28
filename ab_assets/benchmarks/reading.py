"""benchmark.toml, read and refused with every problem at once, each with its line."""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.errors import InvalidBenchmarkError, Problem, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

FILE_NAME = "benchmark.toml"


def read_benchmark(folder: Path, *, name: str | None = None) -> Benchmark:
    """Return the benchmark that `folder` declares; its name is the folder's unless `name` is given.

    Raises UnknownNameError when there is no benchmark.toml, InvalidBenchmarkError with every problem otherwise.
    """
    path = folder / FILE_NAME
    name = name or folder.resolve().name
    if not path.is_file():
        raise UnknownNameError(
            what=f"there is no {FILE_NAME} here", where=str(folder), hint="A benchmark is a folder with that file."
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = Problem(what=f"this is not TOML: {error}", where=FILE_NAME, hint="Mend the syntax at that line.")
        raise InvalidBenchmarkError(name=name, problems=[problem]) from error
    if "name" in values:
        line = line_of(text, ("name",))
        problem = Problem(
            what="unknown key 'name'", where=f"{FILE_NAME}:{line}", hint="The folder's name is the benchmark's name."
        )
        raise InvalidBenchmarkError(name=name, problems=[problem])
    try:
        return Benchmark.model_validate(values | {"name": name})
    except ValidationError as error:
        problems = [_problem(details, text) for details in error.errors(include_url=False)]
        raise InvalidBenchmarkError(name=name, problems=problems) from error


def nearest_name(name: str, known: Sequence[str]) -> str:
    """Return a hint that names the nearest of `known`, or lists them all when none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}."


def line_of(text: str, keys: tuple[str | int, ...]) -> int:
    """Return the line (from 1) on which the key path stands; its nearest parent's where it does not stand itself."""
    names = [str(key) for key in keys if not isinstance(key, int)]
    table: list[str] = []
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([\w.\-\"]+)\s*\]+", line)
        entry = re.match(r"\s*([\w\-\"]+)\s*=", line)
        if header:
            table = header.group(1).replace('"', "").split(".")
            path = table
        elif entry:
            path = [*table, entry.group(1).strip('"')]
        else:
            continue
        common = len(path) if path == names[: len(path)] else 0
        if common > depth:
            best, depth = number, common
    return best


def _problem(details: ErrorDetails, text: str) -> Problem:
    location = details["loc"]
    where = f"{FILE_NAME}:{line_of(text, location)}"
    key = ".".join(str(part) for part in location)
    kind = details["type"]
    if kind == "extra_forbidden":
        return Problem(
            what=f"unknown key {key!r}", where=where, hint=nearest_name(str(location[-1]), _fields_at(location[:-1]))
        )
    if kind == "missing":
        return Problem(what=f"the key {key!r} is missing", where=where, hint="Add it.")
    message = str(details["msg"]).removeprefix("Value error, ")
    prefix = f"{key}: " if key else ""
    found = "" if isinstance(details["input"], dict | BaseModel) else repr(details["input"])
    return Problem(what=f"{prefix}{message[:1].lower()}{message[1:]}", where=where, found=found)


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    model: Any = Benchmark
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = next(
            (item for item in (annotation, *getattr(annotation, "__args__", ())) if hasattr(item, "model_fields")), None
        )
        if model is None:
            return []
    return [name for name in model.model_fields if name != "name"]
