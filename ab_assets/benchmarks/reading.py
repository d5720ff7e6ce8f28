"""benchmark.toml, read and refused with every problem at once, each with its line."""

from __future__ import annotations

import difflib
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from ab_assets.benchmarks.schema import Benchmark
from ab_assets.errors import InvalidBenchmarkError, Problem, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

FILE_NAME = "benchmark.toml"

KeyPath = tuple[str | int, ...]


def read_benchmark(folder: Path, *, name: str | None = None) -> Benchmark:
    """Return the benchmark that `folder` declares; its name is the folder's unless `name` is given.

    Raises UnknownNameError when there is no benchmark.toml, InvalidBenchmarkError with every problem otherwise.
    """
    path = folder / FILE_NAME
    name = name or name_of(folder)
    if not path.is_file():
        raise UnknownNameError(
            what=f"there is no {FILE_NAME} here", where=str(folder), hint="A benchmark is a folder with that file."
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidBenchmarkError(name=name, problems=[_syntax_problem(error)]) from error
    problems = [_named_inside(text)] if "name" in values else []
    try:
        benchmark = Benchmark.model_validate(values | {"name": name})
    except ValidationError as error:
        problems += [_problem(details, text) for details in error.errors(include_url=False)]
    if problems:
        raise InvalidBenchmarkError(name=name, problems=problems)
    return benchmark


def name_of(folder: Path) -> str:
    """Return the name a folder is called by: a link's own, not its target's; the real one where it is called ".."."""
    path = folder.absolute()
    return path.resolve().name if path.name == ".." else path.name


def nearest_name(name: str, known: Sequence[str]) -> str:
    """Return a hint that names the nearest of `known`, or lists them all when none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}."


def line_of(text: str, keys: KeyPath) -> int:
    """Return the line (from 1) on which the key path stands; its nearest parent's where it does not stand itself."""
    best, deepest = 1, 0
    table: KeyPath = ()
    tables: dict[KeyPath, int] = {}
    for line, is_header, values in _statements(text.removeprefix("\ufeff")):
        if is_header:
            table = _entered(values, tables)
        depth = _shared(table, keys)
        if not is_header and depth == len(table):
            depth += _reach(values, keys[depth:])
        if depth > deepest:
            best, deepest = line, depth
    return best


def _statements(text: str) -> Iterator[tuple[int, bool, dict[str, Any]]]:
    """Yield (line, is it a [header], what it says alone) of each statement: the fewest lines that are TOML."""
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        lines.append(line)
        try:
            values = tomllib.loads("\n".join([*lines, ""]))
        except tomllib.TOMLDecodeError:
            continue
        if values:
            yield number - len(lines) + 1, lines[0].lstrip().startswith("["), values
        lines = []


def _entered(values: dict[str, Any], tables: dict[KeyPath, int]) -> KeyPath:
    """Return the path that a header opens, with the index of each [[table]] on it; `tables` counts these."""
    path: KeyPath = ()
    inner: Any = values
    while inner:
        [(name, inner)] = inner.items()
        path += (name,)
        if inner == [{}]:
            tables[path] = tables.get(path, 0) + 1
            inner = {}
        if path in tables:
            path += (tables[path] - 1,)
    return path


def _shared(path: KeyPath, keys: KeyPath) -> int:
    same = [left == right for left, right in zip(path, keys, strict=False)]
    return (*same, False).index(False)


def _reach(values: Any, keys: KeyPath) -> int:  # noqa: ANN401 - any TOML value
    """Return how many of the keys, one inside the other, stand in `values`."""
    for depth, key in enumerate(keys):
        inside = key in values if isinstance(values, dict) else isinstance(values, list) and key in range(len(values))
        if not inside:
            return depth
        values = values[key]
    return len(keys)


def _syntax_problem(error: ValueError | RecursionError) -> Problem:
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        return Problem(what="this is not UTF-8 text", where=f"{FILE_NAME}:{line}", hint="Save the file as UTF-8.")
    why = "it is nested too deep" if isinstance(error, RecursionError) else error
    return Problem(what=f"this is not TOML: {why}", where=FILE_NAME, hint="Mend the syntax at that line.")


def _named_inside(text: str) -> Problem:
    where = f"{FILE_NAME}:{line_of(text, ('name',))}"
    return Problem(what="unknown key 'name'", where=where, hint="The folder's name is the benchmark's name.")


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
