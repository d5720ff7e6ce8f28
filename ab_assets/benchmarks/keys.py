"""The one grammar of benchmark and model names, checked at every entrance."""

from __future__ import annotations

import re

from ab_assets.errors import BadInputError

_GRAMMAR = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def is_key(text: str) -> bool:
    """Tell whether `text` may name a benchmark or a model: safe as a path, a pod name and a Dagster partition key."""
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
