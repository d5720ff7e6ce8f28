"""What one load of a model makes for one benchmark: embeddings, checkpoints, predictions, attention."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import polars as pl

from ab_assets.artifacts.fingerprint import Question, digest_of
from ab_assets.artifacts.items import ItemStore
from ab_assets.artifacts.publication import publish_once
from ab_assets.artifacts.store import Ref
from ab_assets.datasets.selection import select_rows
from ab_assets.training.data import FitData, chosen_antibodies, count_labels, texts_of
from ab_assets.training.predictions import as_predictions
from ab_assets.training.session import ModelSession, ProbeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ab_assets.artifacts.publication import Outcome
    from ab_assets.artifacts.store import Artifact, ArtifactStore, Draft
    from ab_assets.benchmarks.schema import Benchmark
    from ab_assets.models.specification import ModelSpec
    from ab_assets.models.tokenization import Text
    from ab_assets.progress import Progress
    from ab_assets.training.recipe import Recipe

Arm = Literal["true", "shuffled"]
CHECKPOINTS: Mapping[Arm, str] = {"true": "fine_tuned_checkpoint", "shuffled": "shuffled_label_checkpoint"}
_SUFFIX: Mapping[Arm, str] = {"true": "", "shuffled": "-shuffled"}
PROBES: Mapping[ProbeKind, str] = {"linear": "frozen-probe", "svm": "frozen-svm"}
_ABANDONED_SECONDS = 30 * 24 * 3600
_ITEM_SEPARATOR = "/"  # between the chains of a text, where a text is named by one string
# Antibodies or residues that the probes of all shuffles of a fit learn from, at most: some ten seconds.
PROBED_ITEMS = 20_000


def fit_folder(fit: int, seed: int) -> str:
    """Return the name of one fit's folder inside a checkpoint."""
    return f"fit-{fit}-seed-{seed}"


class ModelProducts:
    """One model, one benchmark, one load of the weights.

    Nothing is read before it is asked for. `certified_roles` returns ROLES for these CURATED rows or raises
    LeakageError; the split is reached through it alone, so that no weights are loaded for a split that leaks.
    """

    def __init__(
        self,
        store: ArtifactStore,
        benchmark: Benchmark,
        spec: ModelSpec,
        recipe: Recipe,
        *,
        certified_roles: Callable[[pl.DataFrame], pl.DataFrame],
        cache: Path,
        progress: Progress,
    ) -> None:
        self._certified_roles = certified_roles
        self.store = store
        self.benchmark = benchmark
        self.spec = spec
        self.recipe = recipe
        self.session = ModelSession(spec, recipe, cache=cache, progress=progress)
        self._cache = cache
        self._progress = progress

    def publish(self, asset: str, question: Question, *, force: bool) -> Outcome:
        """Return one asset's partition, made now unless `question` was answered before."""
        builders: dict[str, Callable[[Draft], None]] = {
            "embeddings": self._embeddings,
            CHECKPOINTS["true"]: functools.partial(self._checkpoint, "true", question, force=force),
            CHECKPOINTS["shuffled"]: functools.partial(self._checkpoint, "shuffled", question, force=force),
            "predictions": functools.partial(self._predictions, question, force=force),
            "attention": functools.partial(self._attention, question, force=force),
        }
        ref = Ref(asset, self.benchmark.name, self.spec.name)
        return publish_once(self.store, ref, question, builders[asset], force=force)

    def artifact(self, asset: str) -> Artifact:
        """Return an upstream result of this benchmark (and model, where it has one)."""
        per_model = asset in {*CHECKPOINTS.values(), "embeddings", "model_metrics"}
        return self.store.require(Ref(asset, self.benchmark.name, self.spec.name if per_model else None))

    @functools.cached_property
    def curated(self) -> pl.DataFrame:
        """CURATED, all antibodies."""
        return self.artifact("curated_dataset").table("antibodies")

    @functools.cached_property
    def rows(self) -> pl.DataFrame:
        """CURATED, the antibodies that this benchmark can use."""
        return select_rows(self.curated, self.benchmark).rows

    @functools.cached_property
    def roles(self) -> pl.DataFrame:
        """ROLES of the split, after its certificate was verified against these very rows."""
        return self._certified_roles(self.rows)

    @functools.cached_property
    def fits(self) -> list[tuple[int, int]]:
        """Every (fit, seed), in order."""
        return [(fit, seed) for fit in sorted(self.roles["fit"].unique()) for seed in self.benchmark.split.seeds]

    @functools.cached_property
    def shuffled_labels(self) -> pl.DataFrame:
        """SHUFFLED_LABELS of the control, all shuffles."""
        return self.artifact("shuffled_label_split").table("labels")

    @functools.cached_property
    def texts(self) -> list[Text]:
        """Every distinct text of the rows."""
        return texts_of(self.rows, self.benchmark.chain_names, joined=self.recipe.joined)

    def _embedded(self) -> tuple[dict[Text, NDArray[np.float32]], int]:
        """Return every text's embedding, and how many of them were new."""
        items = ItemStore(self._cache / "embeddings" / digest_of(self.session.seeing() | {"pooling": "mean"})[:32])
        names = {_ITEM_SEPARATOR.join(text): text for text in self.texts}
        kept = {names[name]: vector for name, vector in items.get(names).items()}
        self.session.remember(kept)
        vectors = self.session.embed(self.texts)
        new = {_ITEM_SEPARATOR.join(text): vector for text, vector in vectors.items() if text not in kept}
        items.put(new)
        return vectors, len(new)

    def _embeddings(self, draft: Draft) -> None:
        vectors, new = self._embedded()
        frame = pl.DataFrame(
            {
                "chains": [list(text) for text in vectors],
                "embedding": [vector.tolist() for vector in vectors.values()],
            },
            schema={"chains": pl.List(pl.String), "embedding": pl.List(pl.Float32)},
        )
        draft.table("embeddings", frame)
        draft.metadata = {
            "texts": len(vectors),
            "processed": new,
            "reused_texts": len(vectors) - new,
            "features": len(frame["embedding"][0]) if frame.height else 0,
            "trunk_passes": self.session.trunk_passes,
        }

    def _checkpoint(self, arm: Arm, question: Question, draft: Draft, *, force: bool) -> None:
        details, passes, made = [], self.session.trunk_passes, 0
        for fit, seed in self.fits:
            outcome = self._fit_once(arm, fit, seed, question, force=force)
            _link(outcome.artifact, draft, fit_folder(fit, seed))
            details.append({"fit": fit, "seed": seed} | dict(outcome.artifact.metadata))
            made += not outcome.reused
        draft.metadata = {
            "fits": len(details),
            "fits_made": made,
            "trunk_passes": self.session.trunk_passes - passes,
            "trainable_parameters": details[0]["trainable_parameters"],
            "validation_loss": sum(item["validation_loss"] for item in details) / len(details),
            "fits_in_detail": details,
        }

    def _fit_once(self, arm: Arm, fit: int, seed: int, question: Question, *, force: bool) -> Outcome:
        """Return one fit: finished by an earlier run that was interrupted, or on the same examples, or made now."""
        data = self._fit_data(arm, fit)
        asked = Question(
            asset="fit",
            inputs={"examples": data.digest()},
            parameters={"recipe": self.recipe.to_dict(), "fit": fit, "seed": seed, "labels": arm},
            model=question.model,
            code=question.code,
        )
        from ab_assets.training.snapshots import Snapshots  # noqa: PLC0415 - torch

        unfinished = self._cache / "unfinished"
        snapshots = Snapshots(unfinished / asked.fingerprint[:32], key=asked.fingerprint)

        def build(draft: Draft) -> None:
            if force:
                snapshots.clear()
            which = f"fine-tuning fit {fit}, seed {seed}{', shuffled labels' if arm == 'shuffled' else ''}"
            self._progress(which, 0, 1)
            draft.metadata = asdict(self.session.fit(data, seed, draft.folder, snapshots=snapshots))
            self._progress(which, 1, 1)

        ref = Ref("fit", self.benchmark.name, self.spec.name)
        published = publish_once(self.store, ref, asked, build, force=force, show=False)
        snapshots.clear()
        shutil.rmtree(snapshots.folder, ignore_errors=True)
        _sweep(unfinished)
        return published

    def _predictions(self, question: Question, draft: Draft, *, force: bool) -> None:
        """Predict, and fit the probes, unless that was done for the same rows, roles, labels and checkpoints."""
        inputs = {name: self.artifact(name).digest for name in CHECKPOINTS.values()}
        inputs |= {
            "rows": _digest_of_table(self.rows.drop("sources", strict=False)),
            "roles": _digest_of_table(self.roles),
            "shuffled_labels": _digest_of_table(self.shuffled_labels),
        }
        made = self._once("prediction-set", inputs, question, self._prediction_set, draft, force=force)
        draft.metadata |= {"probes_fitted": made}

    def _once(
        self,
        name: str,
        inputs: Mapping[str, str],
        question: Question,
        build: Callable[[Draft], None],
        draft: Draft,
        *,
        force: bool,
    ) -> bool:
        """Put into the draft what `build` makes of `inputs`, made now unless it was before; tell whether it was now.

        These inputs are what is read indeed, where `question` names tables of which a part was changed.
        """
        passes = self.session.trunk_passes
        asked = Question(name, inputs, question.parameters, question.model, question.code)
        ref = Ref(name, self.benchmark.name, self.spec.name)
        outcome = publish_once(self.store, ref, asked, build, force=force, show=False)
        _link(outcome.artifact, draft)
        draft.metadata = dict(outcome.artifact.metadata) | {"trunk_passes": self.session.trunk_passes - passes}
        return not outcome.reused

    def _prediction_set(self, draft: Draft) -> None:
        if self.benchmark.task == "antigen-specificity":
            self._embedded()  # what the frozen probes see
        parts = []
        for arm, checkpoint in CHECKPOINTS.items():
            fitted = self.artifact(checkpoint)
            for fit, seed in self.fits:
                folder = fitted.subfolder(fit_folder(fit, seed))
                parts.append(
                    self._scored(self.session.predict_fit(folder, self._tested(fit)), arm, "fine-tuned", fit, seed)
                )
                if arm == "true":
                    data = self._fit_data(arm, fit)
                    parts += [self._probed(kind, data, arm, seed, draft) for kind in PROBES]
        for fit in sorted(self.roles["fit"].unique()):
            parts += self._probed_shuffles(fit, draft)
        table = pl.concat(parts).sort("method", "fit", "seed", "role", "row_id", "chain", "residue")
        draft.table("predictions", table)
        draft.metadata = {
            "methods": ", ".join(sorted(table["method"].unique())),
            "scores": table.height,
            "unseen_residues": table["score"].null_count(),
        }

    def _probed(self, kind: ProbeKind, data: FitData, arm: Arm, seed: int, draft: Draft) -> pl.DataFrame:
        folder = draft.folder / "probes" / kind / f"{fit_folder(data.fit, seed)}{_SUFFIX[arm]}"
        folder.mkdir(parents=True)
        self.session.fit_probe(data, seed, folder, kind=kind)
        scored = self.session.predict_probe(folder, self._tested(data.fit))
        return self._scored(scored, arm, PROBES[kind], data.fit, seed)

    def _probed_shuffles(self, fit: int, draft: Draft) -> list[pl.DataFrame]:
        """Return what probes of as many shuffles as there is time for predict: shuffle k under the first seed + k.

        A support-vector probe takes too long for more than the first.
        """
        first = self._fit_data("shuffled", fit)
        affordable = max(1, PROBED_ITEMS // count_labels(first.train)[1])
        shuffles = range(1, min(affordable, self.shuffled_labels["shuffle"].n_unique()))
        every = [first, *(self._fit_data("shuffled", fit, shuffle) for shuffle in shuffles)]
        seed = self.benchmark.split.seeds[0]
        linear = [self._probed("linear", data, "shuffled", seed + shuffle, draft) for shuffle, data in enumerate(every)]
        return [*linear, self._probed("svm", first, "shuffled", seed, draft)]

    def _attention(self, question: Question, draft: Draft, *, force: bool) -> None:
        """Look at attention, unless that was done for the same antibodies and the same fit."""
        fit, seed = self.fits[0]
        rows = chosen_antibodies(self.rows, self.roles, fit=fit)
        checkpoint, name = self.artifact(CHECKPOINTS["true"]), fit_folder(fit, seed)
        files = checkpoint.manifest["files"]
        inputs = {
            "rows": _digest_of_table(rows.drop("sources", strict=False)),
            "fit": digest_of({file: files[file]["sha256"] for file in files if file.startswith(f"{name}/")}),
        }

        def build(draft: Draft) -> None:
            folder = checkpoint.subfolder(name)
            table = self.session.attention(rows, chain_names=self.benchmark.chain_names, directory=folder)
            draft.table("attention", table)
            draft.metadata = {"antibodies": rows.height, "fit": fit, "seed": seed, "rows": table.height}

        self._once("attention-set", inputs, question, build, draft, force=force)

    def _tested(self, fit: int) -> pl.DataFrame:
        chosen = self.roles.filter((pl.col("fit") == fit) & (pl.col("role") != "train"))
        return self.rows.join(chosen.select("row_id"), on="row_id", how="semi")

    def _scored(self, scored: pl.DataFrame, arm: Arm, method: str, fit: int, seed: int) -> pl.DataFrame:
        return as_predictions(scored, self.roles, method=f"{method}{_SUFFIX[arm]}", fit=fit, seed=seed)

    def _fit_data(self, arm: Arm, fit: int, shuffle: int = 0) -> FitData:
        return FitData.build(
            self.rows,
            self.roles,
            fit=fit,
            task=self.benchmark.task,
            chain_names=self.benchmark.chain_names,
            joined=self.recipe.joined,
            shuffled_labels=self.shuffled_labels.filter(pl.col("shuffle") == shuffle) if arm == "shuffled" else None,
        )


def _link(artifact: Artifact, draft: Draft, folder: str = "") -> None:
    for file in artifact.manifest["files"]:
        os.link(artifact.path(file), draft.path(f"{folder}/{file}" if folder else file))


def _digest_of_table(table: pl.DataFrame) -> str:
    return hashlib.sha256(table.write_ndjson().encode()).hexdigest()


def _sweep(unfinished: Path) -> None:
    """Remove the snapshots of fits that nobody went on with for a month: their data, recipe or code are others now."""
    for folder in unfinished.glob("*/"):
        with contextlib.suppress(FileNotFoundError):  # another process is just done with it
            if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
