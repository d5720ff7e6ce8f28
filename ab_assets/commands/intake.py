"""How a benchmark comes into the home: validated, copied or fetched, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.artifacts.fingerprint import file_digest
from ab_assets.benchmarks.reading import FILE_NAME, line_of, nearest_name, read_benchmark
from ab_assets.datasets.validation import problems_in
from ab_assets.directories import FILE_NAME as DIRECTORIES
from ab_assets.errors import (
    AbAssetsError,
    BadInputError,
    InvalidBenchmarkError,
    Problem,
    UnavailableError,
    UnknownNameError,
)
from ab_assets.graph import recipe_of
from ab_assets.keys import require_key

if TYPE_CHECKING:
    from ab_assets.benchmarks.schema import Benchmark, Download
    from ab_assets.home import Home
    from ab_assets.progress import Progress

MIRROR = "AB_ASSETS_MIRROR"
DEFINED = Path(__file__).resolve().parents[2] / "benchmarks"
_BLOCK = 1 << 20


def problems_of(folder: Path, home: Home, *, name: str | None = None) -> list[Problem]:
    """Return everything that keeps this folder from being a benchmark; empty when it is ready."""
    try:
        benchmark = read_benchmark(folder, name=require_key(name or folder.resolve().name, kind="benchmark"))
    except InvalidBenchmarkError as error:
        return list(error.problems)
    except AbAssetsError as error:
        return [error.problem]
    unknown = _unknown_models(benchmark, folder, home)
    return [*unknown, *_impossible_recipes(benchmark, folder, home), *problems_in(benchmark, folder)]


def add_benchmark(folder: Path, home: Home, *, name: str | None = None, replace: bool = False) -> str:
    """Copy a valid benchmark into the home and return its name; nothing is copied when it has a problem."""
    name = require_key(name or folder.resolve().name, kind="benchmark")
    there = home.folder(name)
    target = there if folder.resolve() == there.resolve() else home.own_folder(name)
    if problems := problems_of(folder, home, name=name):
        raise InvalidBenchmarkError(name=name, problems=problems)
    _refuse_elsewhere(name, home, target)
    if target.exists() and folder.resolve() != target.resolve() and not replace:
        raise BadInputError(
            what=f"there is a benchmark {name!r} already",
            where=str(target),
            hint="Say --replace to replace it (results are kept), or --name for another name.",
        )
    benchmark = read_benchmark(folder, name=name)
    if folder.resolve() != target.resolve():
        with _arriving(target) as arriving:
            for file in (FILE_NAME, *benchmark.source.received, *benchmark.candidates.files):
                _copy(folder / file, arriving / file)
    return name


def fetch_benchmark(name: str, home: Home, *, progress: Progress) -> str:
    """Bring a benchmark that the project defines into the home, each file checked by its sha256."""
    defined = sorted(path.parent.name for path in DEFINED.glob(f"*/{FILE_NAME}"))
    if name not in defined:
        raise UnknownNameError(what=f"the project defines no benchmark {name!r}", hint=nearest_name(name, defined))
    benchmark = read_benchmark(DEFINED / name)
    if not benchmark.source.download:
        raise BadInputError(what=f"{name} is simulated, there is nothing to fetch", hint="Run: ab-assets demo")
    target = home.own_folder(name)
    _refuse_elsewhere(name, home, target)
    with _arriving(target) as arriving:
        _copy(DEFINED / name / FILE_NAME, arriving / FILE_NAME)
        for download in benchmark.source.download:
            _bring(download, arriving / download.file, progress)
    return add_benchmark(target, home, name=name)


def _refuse_elsewhere(name: str, home: Home, target: Path) -> None:
    """Raise BadInputError when the benchmark lies in a further directory: another of its name would take its place."""
    if (there := home.folder(name)) != target:
        raise BadInputError(
            what=f"there is a benchmark {name!r} already, in a directory that {DIRECTORIES} names",
            where=str(there),
            hint="Change it there, or give another name.",
        )


class _arriving:  # noqa: N801 - used as a `with` word
    """A folder beside `target` that takes its place when the block ends without an error."""

    def __init__(self, target: Path) -> None:
        self.target = target
        target.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None:
            self.folder.chmod(0o755)
            if self.target.exists():
                shutil.rmtree(self.target)
            self.folder.rename(self.target)
        shutil.rmtree(self.folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _unknown_models(benchmark: Benchmark, folder: Path, home: Home) -> list[Problem]:
    known = list(home.catalogue())
    text = (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace")
    return [
        Problem(
            what=f"unknown model {model!r}",
            where=f"{FILE_NAME}:{line_of(text, ('models',))}",
            hint=nearest_name(model, known),
        )
        for model in benchmark.models
        if model not in known
    ]


def _impossible_recipes(benchmark: Benchmark, folder: Path, home: Home) -> list[Problem]:
    text = (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace")
    catalogue = home.catalogue()
    problems = []
    for model in benchmark.models:
        if model in catalogue:
            try:
                recipe_of(catalogue[model], benchmark)
            except BadInputError as error:
                where = f"{FILE_NAME}:{line_of(text, ('training',))}"
                problems.append(replace(error.problem, where=where, what=f"{error.problem.what} (model {model})"))
    return problems


def _bring(download: Download, target: Path, progress: Progress) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if (mirrored := _mirrored(download.sha256)) is not None:
        shutil.copyfile(mirrored, target)
        return
    if download.url is None:
        raise UnavailableError(
            what=f"{download.file} has no address of its own: {download.derived_from or 'it was made by hand'}",
            where=download.file,
            expected=f"a file with sha256 {download.sha256}",
            hint=f"Put it into a directory and name that directory in {MIRROR}.",
        )
    _download(download, download.url, target, progress)
    if (found := file_digest(target)) != download.sha256:
        raise BadInputError(
            what="the downloaded file is not the one that was declared",
            where=download.url,
            found=f"sha256 {found}",
            expected=f"sha256 {download.sha256}",
            hint="The source changed or the download broke off. Try again; do not use the file.",
        )


def _mirrored(sha256: str) -> Path | None:
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return None
    if not Path(mirror).is_dir():
        raise BadInputError(what=f"{MIRROR} names no directory", found=mirror, hint="Correct or unset it.")
    files = (path for path in sorted(Path(mirror).iterdir()) if path.is_file())
    return next((path for path in files if file_digest(path) == sha256), None)


def _download(download: Download, url: str, target: Path, progress: Progress) -> None:
    import requests  # noqa: PLC0415 - only a fetch talks to the network

    try:
        with requests.get(url, stream=True, timeout=60) as answer:
            answer.raise_for_status()
            total, done = int(answer.headers.get("Content-Length", 0)), 0
            with target.open("wb") as stream:
                for block in answer.iter_content(_BLOCK):
                    stream.write(block)
                    done += len(block)
                    progress(f"fetching {download.file}", done, max(total, done))
    except requests.RequestException as error:
        raise UnavailableError(
            what=f"{download.file} could not be fetched: {type(error).__name__}",
            where=url,
            expected=f"a file with sha256 {download.sha256}",
            hint=f"Without a network, put the file into a directory and name that directory in {MIRROR}.",
        ) from error
