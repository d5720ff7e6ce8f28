"""Which code a result depends on, and its digest: layout, comments, docstrings and messages do not count."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGE = "ab_assets"
_ROOT = Path(__file__).resolve().parents[2]

# Code that decides how a result is announced, stored or asked for, never what it is.
_NO_PART_OF_RESULTS = ("ab_assets.artifacts", "ab_assets.errors", "ab_assets.progress", "ab_assets.cli")


def code_of(modules: Iterable[str]) -> dict[str, str]:
    """Return {module: digest of its normalised syntax tree} of `modules` and all they import inside this package."""
    pending, closure = list(modules), dict[str, str]()
    while pending:
        module = pending.pop()
        if module in closure or module.startswith(_NO_PART_OF_RESULTS) or module.endswith(".assets"):
            continue
        path = _path_of(module)
        digest, imports = _read(path, module, path.stat().st_mtime_ns)
        closure[module] = digest
        pending.extend(imports)
    return dict(sorted(closure.items()))


def normalised_digest(source: str) -> str:
    """Return the sha256 (16 hex digits) of the syntax tree of `source` without docstrings and error messages."""
    tree = _Normaliser().visit(ast.parse(source))
    return hashlib.sha256(ast.dump(tree, include_attributes=False).encode()).hexdigest()[:16]


class _Normaliser(ast.NodeTransformer):
    """Drops what a reader sees but a result does not depend on: docstrings, annotations' text stays, messages go."""

    def visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [item for item in node.body if not _is_text(item)] or [ast.Pass()]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@functools.lru_cache(maxsize=512)
def _read(path: Path, module: str, stamp: int) -> tuple[str, tuple[str, ...]]:  # noqa: ARG001 - the stamp keys the cache
    source = path.read_text(encoding="utf-8")
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    inside = {name for name in found if name.split(".")[0] == PACKAGE and _exists(name)}
    return normalised_digest(source), tuple(sorted(inside - {module}))


def _path_of(module: str) -> Path:
    base = _ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _exists(module: str) -> bool:
    return _path_of(module).is_file()
