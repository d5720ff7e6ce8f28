"""The one grammar of names: those of benchmarks and models, and those of files inside a folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ab_assets.errors import BadInputError

_GRAMMAR = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def is_key(text: str) -> bool:
    """Tell whether `text` may name a benchmark or a model: one part of a path and one Dagster partition key."""
    return _GRAMMAR.fullmatch(text) is not None and ".." not in text


def require_key(text: str, *, kind: str) -> str:
    """Return `text` unchanged, or raise BadInputError when it is no valid name of a `kind`."""
    if is_key(text):
        return text
    raise BadInputError(
        what=f"this is no {kind} name",
        found=repr(text),
        expected="a-z, 0-9, '.', '_' and '-', starting with a letter or digit, no '..', at most 63 characters",
        hint=f"Rename the {kind}.",
    )


def is_file_name(text: str) -> bool:
    """Tell whether `text` names a file inside the folder it is relative to, in the one way to write it."""
    path = PurePosixPath(text)
    return (
        bool(path.parts)
        and str(path) == text
        and text.isprintable()
        and "\\" not in text
        and ".." not in path.parts
        and not path.is_absolute()
    )
