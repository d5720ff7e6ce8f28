"""Which functions and classes of a module are other ones now than when a result was made."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.artifacts.code_version import normalised_digest
from ab_assets.artifacts.provenance import source_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from ab_assets.artifacts.fingerprint import Change

    Look: TypeAlias = Callable[[str, str], str | None]

_ROOT = Path(__file__).resolve().parents[2]
_REST = "what it imports"
_SHOWN = 6


def in_words(change: Change, revision: str, look: Look = source_at) -> str:
    """Return a change as words; changed code with the names of what is another definition now, where that is known.

    `revision`: the commit at which the result was made; `look`: returns a file's text at a commit, or None.
    """
    if change.part != "code" or change.how != "changed" or "/" in change.name:
        return str(change)
    names = changed_definitions(change, revision, look)
    if not names:
        return str(change)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{change} ({', '.join(names[:_SHOWN])}{more})"


def changed_definitions(change: Change, revision: str, look: Look = source_at) -> tuple[str, ...]:
    """Return the names of the definitions that changed, are new or are gone; none when either text cannot be had.

    Only texts with the two digests of the change count: a checkout with changes, or one that moved on, says nothing.
    """
    path = _file_of(change.name)
    now = _if_digest((_ROOT / path).read_text(encoding="utf-8"), change.after) if (_ROOT / path).is_file() else None
    before = _if_digest(look(revision, path), change.before) if now is not None else None
    if now is None or before is None:
        return ()
    old, new = definitions(before), definitions(now)
    return tuple(name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name))


@functools.lru_cache(maxsize=256)
def definitions(source: str) -> dict[str, str]:
    """Return {name: digest} of what a module defines: functions, methods as "Class.method", names; the rest as one."""
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for name, node in _pieces(ast.parse(source)):
        parts[name].append(ast.unparse(node))
    return {name: normalised_digest("\n".join(texts)) for name, texts in parts.items()}


def _pieces(module: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            functions = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
            for item in functions:
                yield f"{node.name}.{item.name}", item
            node.body = [item for item in node.body if item not in functions] or [ast.Pass()]
            yield node.name, node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield ", ".join(ast.unparse(target) for target in targets), node
        else:
            yield _REST, node


def _file_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (_ROOT / path / "__init__.py").is_file() else f"{path}.py"


def _if_digest(source: str | None, short: str) -> str | None:
    """Return the text when its digest is the one that a change shows, which is JSON."""
    return source if source is not None and f'"{normalised_digest(source)}"' == short else None
