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
    """Return {module: digest of its normalised syntax tree} of `modules` and all they import inside this package.

    An entry with a slash is a file beside the code that decides a result too ("ab_assets/reports/template.html"); its
    bytes count. Every file is read once per process: what runs is the code that was loaded, not what it became since.
    """
    pending, closure = list(modules), dict[str, str]()
    while pending:
        name = pending.pop()
        if name in closure or not _counts(name):
            continue
        if "/" in name:
            closure[name] = _bytes_digest(_ROOT / name)
        elif (read := _read(_path_of(name), name)) is not None:
            closure[name], imports = read
            pending.extend(imports)
    return dict(sorted(closure.items()))


def normalised_digest(source: str) -> str:
    """Return the sha256 (16 hex digits) of the syntax tree of `source` without docstrings and error messages."""
    tree = _Normaliser().visit(ast.parse(source))
    return hashlib.sha256(ast.dump(tree, include_attributes=False).encode()).hexdigest()[:16]


class _Normaliser(ast.NodeTransformer):
    """Drops what a reader sees but no result depends on: docstrings, and the texts of errors and assertions."""

    def visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [item for item in node.body if not _is_docstring(item)] or [ast.Pass()]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _is_class(node.exc.func):
            node.exc.args = [_blank(argument) for argument in node.exc.args]
            for keyword in node.exc.keywords:
                keyword.value = _blank(keyword.value)
        elif isinstance(node, ast.Assert) and node.msg is not None:
            node.msg = _blank(node.msg)
        return node


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and _is_text(statement.value)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_class(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name.lstrip("_")[:1].isupper()


def _blank(argument: ast.expr) -> ast.expr:
    return ast.Constant("") if _is_text(argument) or isinstance(argument, ast.JoinedStr) else argument


def _counts(name: str) -> bool:
    outside = any(name == part or name.startswith(f"{part}.") for part in _NO_PART_OF_RESULTS)
    return name != PACKAGE and not outside and not name.endswith(".assets")


@functools.cache
def _read(path: Path, module: str) -> tuple[str, tuple[str, ...]] | None:
    """Return a module's digest and what it imports inside this package; None of a package that holds no code."""
    source = path.read_text(encoding="utf-8")
    digest = normalised_digest(source)
    is_package = path.stem == "__init__"
    if is_package and digest == normalised_digest(""):
        return None
    here = module.split(".") if is_package else module.split(".")[:-1]
    found = {module.rpartition(".")[0]}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    inside = {name for name in found if name.split(".")[0] == PACKAGE and _path_of(name).is_file()}
    return digest, tuple(sorted(inside - {module}))


@functools.cache
def _bytes_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _path_of(module: str) -> Path:
    base = _ROOT.joinpath(*module.split("."))
    package = base / "__init__.py"
    return package if package.is_file() else base.with_suffix(".py")
