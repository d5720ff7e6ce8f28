"""Which code a result depends on, and its digest: layout, comments, docstrings and messages do not count."""

from __future__ import annotations

import ast
import functools
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.artifacts.fingerprint import stamp_of
from ab_assets.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from ab_assets.artifacts.fingerprint import Stamp

    Look: TypeAlias = Callable[[Path], Stamp]

PACKAGE = "ab_assets"
_ROOT = Path(__file__).resolve().parents[2]

# Code that decides how a result is announced, stored or asked for, never what it is.
_NO_PART_OF_RESULTS = ("ab_assets.artifacts", "ab_assets.errors", "ab_assets.progress", "ab_assets.cli")

# Who saves a file or checks out a commit is done within this time; until then it is not known what it will be.
_SETTLED_NS = 2 * 10**9


@functools.cache
def when_loaded(path: Path) -> Stamp:
    """Return the stamp that a file had when this process first asked."""
    return stamp_of(path)


def settled() -> Look:
    """Return what stamps each file once, as it lies on the disk now, and raises UnreadableFileError of half-saved ones.

    The time that counts is that of the last change of a file itself, which no copy sets back.
    """

    @functools.cache
    def stamp(path: Path) -> Stamp:
        found = stamp_of(path)
        is_file = bool(path.suffix)  # of folders it only counts that they are there
        if found is not None and is_file and 0 <= time.time_ns() - found[-1] < _SETTLED_NS:
            raise UnreadableFileError(what="the code is being written just now", where=str(path))
        return found

    return stamp


def code_of(modules: Iterable[str], look: Look = when_loaded) -> dict[str, str]:
    """Return {module: digest of its normalised syntax tree} of `modules` and all they import inside this package.

    An entry with a slash is a file beside the code that decides a result too ("ab_assets/reports/template.html"); its
    bytes count. Every file is read once per process: what runs is the code that was loaded, not what it became since.
    Another `look` says which files are others now; these are read again.

    Raises UnreadableFileError for a file that is no Python, and for a module that is not there.
    """
    pending, closure = list(modules), dict[str, str]()
    while pending:
        name = pending.pop()
        if name in closure or not _counts(name):
            continue
        path = _ROOT / name if "/" in name else _path_of(name, look)
        stamp = look(path)
        if stamp is None:
            if look(_ROOT.joinpath(*name.split("."))) is None:  # a folder without __init__.py holds no code
                raise UnreadableFileError(what="the code needs this file, and it is not there", where=str(path))
        elif "/" in name:
            closure[name] = _bytes_digest(path, stamp)
        elif (read := _read(path, name, stamp)) is not None:
            closure[name], imports, perhaps = read
            pending += [*imports, *(one for one in perhaps if look(_path_of(one, look)) is not None)]
    return dict(sorted(closure.items()))


def changed_since_loaded(modules: Iterable[str]) -> list[str]:
    """Return which of `modules`, and of all they import, are other code on the disk than this process read."""
    names = list(modules)
    return differing(code_of(names), code_of(names, stamp_of))


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the modules that have other digests, or none, in the other."""
    return sorted(name for name in one.keys() | other if one.get(name) != other.get(name))


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
def _read(path: Path, module: str, _stamp: Stamp) -> tuple[str, tuple[str, ...], tuple[str, ...]] | None:
    """Return a module's digest, what it imports inside this package, and names that may be modules that it imports.

    None of a package that holds no code. With another stamp the file is read again.
    """
    try:
        source = _bytes_of(path).decode("utf-8")
        tree, digest = ast.parse(source), normalised_digest(source)
    except (SyntaxError, ValueError) as error:
        raise UnreadableFileError(what="this is no Python just now", where=str(path), found=str(error)) from error
    is_package = path.stem == "__init__"
    if is_package and digest == normalised_digest(""):
        return None
    here = module.split(".") if is_package else module.split(".")[:-1]
    imports, perhaps = set[str](), {module.rpartition(".")[0]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            imports.add(base)
            perhaps |= {f"{base}.{alias.name}" for alias in node.names}
    return digest, _inside(imports - {module}), _inside(perhaps - imports - {module})


def _inside(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if name.split(".")[0] == PACKAGE))


@functools.cache
def _bytes_digest(path: Path, _stamp: Stamp) -> str:
    return hashlib.sha256(_bytes_of(path)).hexdigest()[:16]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(what="the code cannot be read", where=str(path), found=str(error)) from error


def _path_of(module: str, look: Look) -> Path:
    base = _ROOT.joinpath(*module.split("."))
    package = base / "__init__.py"
    return package if look(package) is not None else base.with_suffix(".py")
