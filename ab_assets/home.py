"""One folder holds all: benchmarks, user models, results, Dagster's own state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.artifacts.store import ArtifactStore
from ab_assets.benchmarks.reading import FILE_NAME, nearest_name, read_benchmark
from ab_assets.directories import Directories, Layout, read_directories
from ab_assets.errors import InvalidBenchmarkError, UnknownNameError
from ab_assets.keys import is_key, require_key
from ab_assets.models.catalogue import load_catalogue

if TYPE_CHECKING:
    from ab_assets.artifacts.costs import Meter
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.models.catalogue import ModelSpec

VARIABLE = "AB_ASSETS_HOME"


@dataclass(frozen=True)
class Home:
    """$AB_ASSETS_HOME, by default `.ab-assets` in the current directory.

    benchmarks/<name>/   benchmark.toml and its data files
    benchmarks.toml      further directories of benchmarks, for whoever has them
    models/*.toml        models the user added to the catalogue
    store/               artifacts
    cache/               what is kept per sequence: numbering, embeddings, states of frozen layers; unfinished fits
    dagster/             DAGSTER_HOME: runs, events, partitions
    work/                what pods are told and say, while they run
    kubernetes.toml      how pods run here, where AB_ASSETS_COMPUTE=kubernetes
    mail.toml            where letters go, for whoever wants them; what has been told is kept in mail/
    """

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """Return the home that the environment names."""
        return cls(Path(os.environ.get(VARIABLE) or ".ab-assets").resolve())

    @property
    def store(self) -> ArtifactStore:
        """The artifacts."""
        return ArtifactStore(self.root / "store")

    def metered_store(self, meter: Meter | None) -> ArtifactStore:
        """Return the artifacts, those made from now on with what they cost."""
        return ArtifactStore(self.root / "store", meter)

    @property
    def dagster(self) -> Path:
        """Dagster's own folder."""
        return self.root / "dagster"

    @property
    def cache(self) -> Path:
        """What is kept per sequence, across benchmarks."""
        return self.root / "cache"

    @cached_property
    def directories(self) -> Directories:
        """Where benchmarks lie; benchmarks.toml is read once. Raises BadInputError with every problem of it."""
        return read_directories(self.root)

    def layout(self) -> Layout:
        """Return all benchmark folders as they lie now, in the home and in further directories."""
        return self.directories.layout()

    def folder(self, benchmark: str) -> Path:
        """Return where a benchmark's benchmark.toml and data files are; of several folders of this name the first."""
        return self.directories.folder(require_key(benchmark, kind="benchmark"))

    def own_folder(self, benchmark: str) -> Path:
        """Return where a benchmark is that comes into the home itself."""
        return self.directories.own / require_key(benchmark, kind="benchmark")

    def names(self) -> list[str]:
        """Return the names of all benchmarks here, sorted."""
        folders = self.layout().folders.items()
        return sorted(name for name, folder in folders if is_key(name) and _is_benchmark(folder))

    def benchmark(self, name: str) -> Benchmark:
        """Return one benchmark. Raises UnknownNameError or InvalidBenchmarkError."""
        folder = self.folder(name)
        if not _is_benchmark(folder):
            known, missing = self.names(), self.layout().missing
            hint = nearest_name(name, known) if known else "There is none yet."
            hint = f"{hint} Add one with: ab-assets add DIR, or ab-assets fetch NAME"
            raise UnknownNameError(
                what=f"there is no benchmark {name!r}" + (f", but {'; '.join(missing)}" if missing else ""),
                where=str(self.root),
                hint=f"Mount it, if that is where the benchmark lies. {hint}" if missing else hint,
            )
        return read_benchmark(folder)

    def benchmarks(self) -> list[Benchmark]:
        """Return all benchmarks that can be read and are not retired, by name; broken ones are left out."""
        found = []
        for name in self.names():
            try:
                benchmark = self.benchmark(name)
            except (InvalidBenchmarkError, UnknownNameError):
                continue
            if not benchmark.retired:
                found.append(benchmark)
        return found

    def catalogue(self) -> dict[str, ModelSpec]:
        """Return all models: the project's and those in models/*.toml here."""
        return load_catalogue(self.root / "models")

    def model(self, name: str) -> ModelSpec:
        """Return one model. Raises UnknownNameError naming the nearest."""
        catalogue = self.catalogue()
        if name not in catalogue:
            raise UnknownNameError(what=f"there is no model {name!r}", hint=nearest_name(name, list(catalogue)))
        return catalogue[name]


def _is_benchmark(folder: Path) -> bool:
    return os.path.isfile(folder / FILE_NAME)  # noqa: PTH113 - a folder that nobody may read is none
