"""benchmark.toml, read and refused with every problem at once, each with its line."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import replace
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

# What a value has to be, by the kind of error that pydantic reports (docs.pydantic.dev, "Validation Errors").
_EXPECTED = {
    "string_type": "text in quotation marks",
    "bool_type": "true or false, without quotation marks",
    "int_type": "a whole number, without quotation marks",
    "int_from_float": "a whole number",
    "float_type": "a number, without quotation marks",
    "finite_number": "a finite number",
    "tuple_type": 'a list in square brackets, such as ["a", "b"] or [1, 2]',
    "model_type": "keys of its own, below a line [{key}]",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "less than {lt:g}",
    "too_short": "a list with {min_length} or more entries",
    "too_long": "a list of {max_length} entries",
    "string_pattern_mismatch": "the pattern {pattern}",
}


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


def located(problem: Problem, text: str) -> Problem:
    """Return `problem` with the line of the key that it names; `text` is benchmark.toml."""
    file, _, key = problem.where.partition(": ")
    if file != FILE_NAME:
        return problem
    return replace(problem, where=f"{FILE_NAME}:{line_of(text, tuple(key.split('.')))}: {key}" if key else FILE_NAME)


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
        if len(lines) > 1 and line.rstrip().endswith(","):
            continue  # an item of a long list, which trying each of its lines would take for ever
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
    why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
    place = re.search(r"at line (\d+)", why)
    hint = "Text stands in quotation marks, lists in square brackets, true and false in small letters."
    if why.startswith(("Cannot overwrite", "Cannot declare")):
        why, hint = f"the key or table stands twice{why[why.rfind(' (at') :]}", "Leave one of them."
    return Problem(what=f"this is not TOML: {why}", where=f"{FILE_NAME}:{place[1]}" if place else FILE_NAME, hint=hint)


def _named_inside(text: str) -> Problem:
    where = f"{FILE_NAME}:{line_of(text, ('name',))}"
    return Problem(what="unknown key 'name'", where=where, hint="The folder's name is the benchmark's name.")


def _problem(details: ErrorDetails, text: str) -> Problem:
    location = details["loc"]
    where = f"{FILE_NAME}:{line_of(text, location)}"
    key = _spelled(location)
    kind = details["type"]
    if kind == "extra_forbidden":
        return Problem(
            what=f"unknown key {key!r}", where=where, hint=nearest_name(str(location[-1]), _fields_at(location[:-1]))
        )
    given = details["input"]
    if kind == "missing" and isinstance(location[-1], int):
        key = _spelled(location[:-1])
        return Problem(what=f"{key} has too few entries", where=where, found=_written(given), hint="Give all of them.")
    if kind == "missing":
        return Problem(what=f"the key {key!r} is missing", where=where, hint="Add it.")
    if kind in _EXPECTED:
        expected = _EXPECTED[kind].format(key=key, **details.get("ctx", {}))
        return Problem(what=f"{key} cannot have this value", where=where, found=_written(given), expected=expected)
    message = str(details["msg"]).removeprefix("Value error, ")
    prefix = f"{key}: " if key else ""
    return Problem(what=f"{prefix}{message[:1].lower()}{message[1:]}", where=where)


def _spelled(location: KeyPath) -> str:
    """Return a key as it is written, an entry of a list by its place from 1: "source.files (2)"."""
    return "".join(f" ({part + 1})" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def _written(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | BaseModel):
        return "a table"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(item) for item in value)}]"
    return repr(value) if isinstance(value, str) else str(value)


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
