"""One folder holds all: benchmarks, user models, results, Dagster's own state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ab_assets.artifacts.store import ArtifactStore
from ab_assets.benchmarks.reading import FILE_NAME, nearest_name, read_benchmark
from ab_assets.errors import InvalidBenchmarkError, UnknownNameError
from ab_assets.keys import require_key
from ab_assets.models.catalogue import load_catalogue

if TYPE_CHECKING:
    from ab_assets.artifacts.costs import Meter
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.models.catalogue import ModelSpec

VARIABLE = "AB_ASSETS_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """$AB_ASSETS_HOME, by default `.ab-assets` in the current directory.

    benchmarks/<name>/   benchmark.toml and its data files
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

    def folder(self, benchmark: str) -> Path:
        """Return where a benchmark's benchmark.toml and data files are."""
        return self.root / "benchmarks" / require_key(benchmark, kind="benchmark")

    def names(self) -> list[str]:
        """Return the names of all benchmarks here, sorted."""
        return sorted(path.parent.name for path in (self.root / "benchmarks").glob(f"*/{FILE_NAME}"))

    def benchmark(self, name: str) -> Benchmark:
        """Return one benchmark. Raises UnknownNameError or InvalidBenchmarkError."""
        folder = self.folder(name)
        if not (folder / FILE_NAME).is_file():
            known = self.names()
            hint = nearest_name(name, known) if known else "There is none yet."
            raise UnknownNameError(
                what=f"there is no benchmark {name!r}",
                where=str(self.root),
                hint=f"{hint} Add one with: ab-assets add DIR, or ab-assets fetch NAME",
            )
        return read_benchmark(folder)

    def benchmarks(self) -> list[Benchmark]:
        """Return all benchmarks that can be read and are not retired, by name; broken ones are left out."""
        found = []
        for name in self.names():
            try:
                benchmark = self.benchmark(name)
            except InvalidBenchmarkError:
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
