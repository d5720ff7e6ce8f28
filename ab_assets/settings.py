"""Settings files of the home: TOML against a schema, refused with every problem at once and the nearest key."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, get_args, get_origin

from ab_assets.benchmarks.reading import nearest_name
from ab_assets.errors import BadInputError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel, ValidationError

_SHOWN = 60


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a file says, {} when there is none. Raises UnreadableFileError when it is no TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, tomllib.TOMLDecodeError) else type(error).__name__
        # what stands in the file may be nobody else's business: its text is in no traceback
        raise UnreadableFileError(what="this is no TOML file", where=str(path), found=why) from None


def problems_in(
    error: ValidationError,
    schema: type[BaseModel],
    *,
    elsewhere: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
) -> list[str]:
    """Return each problem in words. `elsewhere`: {unknown key: where it belongs}; `hidden`: keys of unshown values."""
    return [_in_words(details, schema, elsewhere or {}, hidden) for details in error.errors(include_url=False)]


def refused(path: Path, problems: Sequence[str], *, what: str) -> BadInputError:
    """Return the error that lists the problems of a file; `what` has them: "the mail settings"."""
    listed = "".join(f"\n  - {problem}" for problem in problems)
    return BadInputError(what=f"{what} have {len(problems)} problem(s):{listed}", where=str(path))


def _in_words(details: Any, schema: type[BaseModel], elsewhere: Mapping[str, str], hidden: Collection[str]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    location = tuple(str(part) for part in details["loc"])
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        belongs = elsewhere.get(key.lower())
        return f"unknown key {key}" + (f": {belongs}" if belongs else f". {_nearest(location, schema)}")
    if details["type"] == "missing":
        return f"{key} is missing"
    said = str(details["msg"]).removeprefix("Value error, ")
    return f"{key}: {said}" + ("" if key in hidden else f" (found {repr(details['input'])[:_SHOWN]})")


def _nearest(location: tuple[str, ...], schema: type[BaseModel]) -> str:
    table: Any = schema
    for part in location[:-1]:
        # a table, or tables by name
        table = get_args(table)[1] if get_origin(table) is dict else table.model_fields[part].annotation
    return nearest_name(location[-1], list(table.model_fields))
