"""One load of a model's weights for all that is asked of it: fits, predictions, embeddings, probes, attention."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ab_assets.artifacts.code_version import code_of
from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.models.availability import directory_digest
from ab_assets.models.specification import LocalSource
from ab_assets.progress import Progress, silent
from ab_assets.training.checkpoint import (
    FIT_RECORD,
    PROBE_RECORD,
    PROBE_WEIGHTS,
    fill_fit,
    read_record,
    write_fit,
    write_record,
    write_tensors,
)
from ab_assets.training.data import count_labels, examples_of, residue_count, unique_texts
from ab_assets.training.placement import Shape, devices_here, place, training_of
from ab_assets.training.predictions import scored_table
from ab_assets.training.probe import RESIDUE_LIMIT, LinearProbe, fit_linear_probe, labelled_items, probabilities_of
from ab_assets.training.recipe import Recipe
from ab_assets.training.svm_probe import SupportVectorProbe, fit_svm_probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from ab_assets.benchmarks.schema import Task
    from ab_assets.models.encoders import Encoder
    from ab_assets.models.specification import ModelSpec, Precision
    from ab_assets.models.tokenization import Text
    from ab_assets.training.data import Example, FitData
    from ab_assets.training.heads import TunedModel
    from ab_assets.training.loop import History
    from ab_assets.training.placement import Placement
    from ab_assets.training.snapshots import Snapshots
    from ab_assets.training.trunk import FrozenTrunk


ProbeKind = Literal["linear", "svm"]


@dataclass(frozen=True, slots=True)
class FitSummary:
    """What a fit did, for people and manifests; `seconds` is not in any file that is hashed."""

    best_epoch: int
    epochs: int
    stopped: str
    validation_loss: float
    train_examples: int
    validation_examples: int
    trainable_parameters: int
    truncated_residues: int
    placement: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """What a frozen probe did. `train_items`: antibodies, or residues, it was fitted on."""

    strength: float
    validation_loss: float
    train_items: int
    truncated_residues: int
    seconds: float


class ModelSession:
    """A model and the states of every text that went through its frozen layers.

    Nothing is loaded before it is needed: a session that only finds everything done loads no weights. `recipe`: how
    this session's fits are made and chains are paired (default: the model's own). `cache`: a folder in which states
    are kept for later sessions; without one they live as long as this session. `ranks`: by how many processes a fit
    that needs several is shared; by default as many as there are GPUs, and one where there is none. How they share it
    is the model's `needs.zero_stage`.
    """

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        *,
        device: str = "auto",
        cache: Path | None = None,
        ranks: int | None = None,
        progress: Progress = silent,
    ) -> None:
        self.spec = spec
        self.recipe = recipe
        self._device = device
        self._ranks = ranks
        self._cache = cache
        self._progress = progress
        self._encoder: Encoder | None = None
        self._trunks: dict[int, FrozenTrunk] = {}
        self._passes_elsewhere = 0
        self._embeddings: dict[Text, NDArray[np.float32]] = {}

    @property
    def trunk_passes(self) -> int:
        """How many texts went through frozen layers so far, in this session and the ranks that it started."""
        return sum(trunk.passes for trunk in self._trunks.values()) + self._passes_elsewhere

    @property
    def loaded(self) -> bool:
        """Whether the weights have been loaded."""
        return self._encoder is not None

    @property
    def encoder(self) -> Encoder:
        """The model, loaded at the first call."""
        if self._encoder is None:
            import torch  # noqa: PLC0415 - only when weights are needed

            from ab_assets.models.loading import load_encoder  # noqa: PLC0415 - torch

            self._progress(f"loading {self.spec.title}", 0, 1)
            dtype = torch.bfloat16 if self.recipe.loads_narrow(self._kind, self._precision) else torch.float32
            encoder = load_encoder(self.spec, device=_resolved(self._device), dtype=dtype)
            encoder.precision = self._precision
            self._encoder = encoder
            self._progress(f"loading {self.spec.title}", 1, 1)
        return self._encoder

    def seeing(self) -> dict[str, object]:
        """Return what decides the states of a text, JSON-able: the weights, the code, and what multiplies in what."""
        source = self.spec.source
        unpinned = source.directory if isinstance(source, LocalSource) and not source.revision else None
        return self.spec.identity() | {
            "files": directory_digest(Path(unpinned)) if unpinned else "",
            "precision": self._precision,
            "device": self._kind,
            "narrow": self.recipe.loads_narrow(self._kind, self._precision),
            "code": code_of(("ab_assets.training.trunk", "ab_assets.models.loading")),
        }

    def embed(self, texts: Iterable[Text]) -> dict[Text, NDArray[np.float32]]:
        """Return by text its chains' mean residue state after the last pre-trained layer, one chain after the other.

        (chain * feature,) float32.
        """
        wanted = sorted(set(texts), key=lambda text: (residue_count(text), text))
        missing = [text for text in wanted if text not in self._embeddings]
        if missing:
            trunk = self._feature_trunk()
            trunk.ensure(missing)
            for text, chains in trunk.final_states(missing):
                self._embeddings[text] = np.concatenate([states.mean(dim=0).numpy() for states in chains])
        return {text: self._embeddings[text] for text in wanted}

    def remember(self, embeddings: Mapping[Text, NDArray[np.float32]]) -> None:
        """Take embeddings that an earlier session of the same model made, so that they are not computed again."""
        self._embeddings.update(embeddings)

    def fit(self, data: FitData, seed: int, directory: Path, *, snapshots: Snapshots | None = None) -> FitSummary:
        """Fine-tune on `data` and write weights, fit.json and a model card into `directory`.

        `seed` decides head, dropout and order of batches. With `snapshots` an interrupted fit goes on where it was.
        Raises FitFailedError when a loss is not finite, InterruptedFitError after SIGTERM.
        """
        from ab_assets.training.loop import fine_tune  # noqa: PLC0415 - torch

        started = time.perf_counter()
        recipe = self.recipe
        placement = self._placement(data)
        weights: Mapping[str, Tensor]
        if placement is not None and placement.stage:
            history, weights = self._fit_in_ranks(data, seed, placement, snapshots)
            trunk = self._trunk(recipe)
        else:
            trunk = self._trunk(recipe)
            trunk.ensure(data.texts())
            model = self.untrained(data, seed=seed)
            history = fine_tune(
                model,
                data,
                trunk,
                recipe,
                seed=seed,
                progress=self._progress,
                snapshots=snapshots,
                budget=self._budget(data, placement),
            )
            weights = model.trainable_weights()
        record = self._record(data, seed) | {"split_layer": trunk.split} | _history_record(history)
        record["pooled"] = _pooled_states(data, recipe)
        record |= trunk.reading(len(data.chain_names) if recipe.joined else 1)
        write_fit(directory, weights, record, self.spec)
        return FitSummary(
            best_epoch=history.best_epoch,
            epochs=len(history.epochs),
            stopped=history.stopped,
            validation_loss=history.best_validation_loss,
            train_examples=len(data.train),
            validation_examples=len(data.validation),
            trainable_parameters=sum(weight.numel() for weight in weights.values()),
            truncated_residues=record["truncated_residues"],
            placement="one process on the CPU" if placement is None else placement.describe(),
            seconds=time.perf_counter() - started,
        )

    def untrained(self, data: FitData, *, seed: int) -> TunedModel:
        """Return what a fit on `data` with `seed` starts from."""
        return self._new_model(self.recipe, data.task, _pooled_states(data, self.recipe), seed=seed)

    def logits(self, model: TunedModel, examples: Sequence[Example]) -> Iterator[tuple[Example, tuple[Tensor, ...]]]:
        """Yield each example with what `model`, of this session's recipe, makes of it; see `predict_logits`."""
        from ab_assets.training.passes import predict_logits  # noqa: PLC0415 - torch

        trunk = self._trunk(self.recipe)
        trunk.ensure(unique_texts(examples))
        yield from predict_logits(model, examples, trunk)

    def predict_fit(self, directory: Path, rows: pl.DataFrame) -> pl.DataFrame:
        """Return SCORED for CURATED `rows` (labelled or not) from the fit in `directory`; their order does not matter.

        Raises MissingArtifactError or CorruptArtifactError when there is no fit of this model.
        """
        from ab_assets.training.passes import predict_logits  # noqa: PLC0415 - torch

        record = read_record(directory / FIT_RECORD, self.spec)
        recipe = Recipe(**record["recipe"])
        examples = _examples(rows, record)
        if not examples:
            return scored_table(rows, [])
        model = self._stored_model(directory, record)
        trunk = self._trunk(recipe)
        trunk.ensure(unique_texts(examples))
        logits = predict_logits(model, examples, trunk)
        return scored_table(
            rows, ((example, [one.double().sigmoid().numpy() for one in parts]) for example, parts in logits)
        )

    def fit_probe(self, data: FitData, seed: int, directory: Path, *, kind: ProbeKind = "linear") -> ProbeSummary:
        """Fit the frozen probe on `data` and write probe.safetensors and probe.json into `directory`.

        `seed` decides which residues are used where a paratope set has more than the probe takes.
        """
        import torch  # noqa: PLC0415

        started = time.perf_counter()
        train = labelled_items(self._features(data.train), limit=RESIDUE_LIMIT, seed=seed)
        validation = labelled_items(self._features(data.validation), limit=RESIDUE_LIMIT, seed=seed)
        balanced = self.recipe.class_weight == "balanced"
        probe: LinearProbe | SupportVectorProbe
        if kind == "svm":
            probe = fit_svm_probe(*train, *validation, balanced=balanced, seed=seed)
            used = probe.train_items
        else:
            probe = fit_linear_probe(*train, *validation, balanced=balanced)
            used = len(train[1])
        write_tensors(
            directory / PROBE_WEIGHTS, {name: torch.from_numpy(array) for name, array in probe.arrays().items()}
        )
        record = self._record(data, seed)
        outcome = {"strength": probe.strength, "validation_loss": probe.validation_loss, "train_items": used}
        write_record(directory / PROBE_RECORD, record | outcome | {"kind": kind})
        return ProbeSummary(
            strength=probe.strength,
            validation_loss=probe.validation_loss,
            train_items=used,
            truncated_residues=record["truncated_residues"],
            seconds=time.perf_counter() - started,
        )

    def predict_probe(self, directory: Path, rows: pl.DataFrame) -> pl.DataFrame:
        """Return SCORED for CURATED `rows` (labelled or not) from the probe in `directory`."""
        from ab_assets.models.loading import read_weights  # noqa: PLC0415 - torch

        record = read_record(directory / PROBE_RECORD, self.spec)
        stored = read_weights(directory / PROBE_WEIGHTS)
        kind = SupportVectorProbe if record["kind"] == "svm" else LinearProbe
        probe = kind.of_arrays({name: tensor.numpy() for name, tensor in stored.items()})
        return scored_table(rows, probabilities_of(probe, self._features(_examples(rows, record))))

    def attention(
        self, rows: pl.DataFrame, *, chain_names: Sequence[str], directory: Path | None = None
    ) -> pl.DataFrame:
        """Return ATTENTION over CURATED `rows` of the pre-trained model and, if given, of the fit in `directory`."""
        from ab_assets.training.attention import attention_table  # noqa: PLC0415 - torch

        trunk, joined = self._trunk(self.recipe), self.recipe.joined
        tops = {}
        if directory is not None:
            record = read_record(directory / FIT_RECORD, self.spec)
            trunk, joined = self._trunk(Recipe(**record["recipe"])), Recipe(**record["recipe"]).joined
            tops["fine-tuned"] = self._stored_model(directory, record).stack
        tops["pre-trained"] = self.encoder.stack(trunk.split, self.encoder.layer_count)
        return attention_table(self.encoder, tops, rows, trunk=trunk, chain_names=chain_names, joined=joined)

    def _trunk(self, recipe: Recipe) -> FrozenTrunk:
        return self._trunk_at(recipe.split_layer(self.encoder.layer_count))

    def _feature_trunk(self) -> FrozenTrunk:
        """Return what probes and embeddings see: the fits' trunk, or one of all layers where nothing is frozen."""
        split = self.recipe.split_layer(self.encoder.layer_count)
        return self._trunk_at(split or self.encoder.layer_count)

    def _trunk_at(self, split: int) -> FrozenTrunk:
        from ab_assets.training.states import StateStore  # noqa: PLC0415 - torch
        from ab_assets.training.trunk import FrozenTrunk  # noqa: PLC0415 - torch

        if split not in self._trunks:
            store = StateStore(self._states_folder(split))
            self._trunks[split] = FrozenTrunk(self.encoder, split, store=store, progress=self._progress)
        return self._trunks[split]

    def _states_folder(self, split: int) -> Path | None:
        if self._cache is None:
            return None
        return self._cache / "states" / digest_of(self.seeing() | {"layers": split})[:32]

    @property
    def _kind(self) -> Literal["cpu", "cuda"]:
        return "cuda" if _resolved(self._device).startswith("cuda") else "cpu"

    @property
    def _precision(self) -> Precision:
        return self.spec.needs.precision if self._kind == "cuda" else self.recipe.cpu_precision

    def _placement(self, data: FitData) -> Placement | None:
        """Return how a fit runs on the GPUs here, or in the ranks asked for, and say so; None for one CPU process.

        Raises UnavailableError where it does not fit.
        """
        from ab_assets.models.loading import read_shape  # noqa: PLC0415 - torch

        if self._kind == "cpu" and self._ranks is None:
            return None
        layers, width = read_shape(self.spec)
        shape = Shape(self.spec.name, self.spec.parameters, layers, width, self.spec.family)
        training = training_of(self.recipe, data, layers, precision=self._precision)
        devices = devices_here(self._kind, 1 if ":" in self._device else self._ranks)
        placement = place(shape, training, devices, stage=self.spec.needs.zero_stage)
        self._progress(placement.describe(), 0, 1)
        return placement

    def _budget(self, data: FitData, placement: Placement | None) -> int | None:
        """Return how many tokens of each text of an example go through the model at a time."""
        from ab_assets.training.trunk import usual_budget  # noqa: PLC0415 - torch

        if placement is None:
            return None
        return min(usual_budget(self._kind), max(1, placement.pass_tokens // len(data.train[0].texts)))

    def _fit_in_ranks(
        self, data: FitData, seed: int, placement: Placement, snapshots: Snapshots | None
    ) -> tuple[History, dict[str, Tensor]]:
        from ab_assets.training.sharded_fit import Job, fit_in_ranks  # noqa: PLC0415 - when there are ranks

        if self._kind == "cuda":
            self._release()
        folder = Path(tempfile.mkdtemp(prefix="ab-assets-fit-"))  # stays when the fit fails: its log is there
        job = Job(
            spec=self.spec,
            recipe=self.recipe,
            data=data,
            pooled=_pooled_states(data, self.recipe),
            seed=seed,
            stage=placement.stage,
            budget=self._budget(data, placement) or 1,
            states=str(self._states_folder(self.recipe.split_layer(placement.shape.layers)) or folder / "states"),
            device=self._kind,
            snapshots=None if snapshots is None else (str(snapshots.folder), snapshots.key),
        )
        fitted = fit_in_ranks(job, folder, processes=placement.processes, progress=self._progress)
        shutil.rmtree(folder)
        self._passes_elsewhere += fitted.passes
        return fitted.history, fitted.weights

    def _release(self) -> None:
        """Give the GPU's memory to others; what is needed later is loaded again."""
        import torch  # noqa: PLC0415

        self._passes_elsewhere = self.trunk_passes
        self._trunks.clear()
        self._encoder = None
        torch.cuda.empty_cache()

    def _new_model(self, recipe: Recipe, task: Task, pooled: int, *, seed: int) -> TunedModel:
        from ab_assets.training.heads import tuned_model  # noqa: PLC0415 - torch

        return tuned_model(self.encoder, recipe, task, pooled, seed=seed)

    def _stored_model(self, directory: Path, record: dict[str, Any]) -> TunedModel:
        model = self._new_model(Recipe(**record["recipe"]), record["task"], record["pooled"], seed=record["seed"])
        fill_fit(model.trainable_weights(), directory)
        return model.eval()

    def _features(self, examples: Sequence[Example]) -> Iterator[tuple[Example, list[NDArray[np.float32]]]]:
        """Yield each example with [(1, feature)], its chains' embeddings, or per scored chain (residue, feature)."""
        if not examples:
            return
        texts = unique_texts(examples)
        if not examples[0].scored:
            embedded = self.embed(texts)
            yield from ((e, [np.concatenate([embedded[text] for text in e.texts])[None]]) for e in examples)
            return
        by_text: dict[Text, list[Example]] = {}
        for example in examples:
            by_text.setdefault(example.texts[0], []).append(example)
        trunk = self._feature_trunk()
        trunk.ensure(texts)
        for text, chains in trunk.final_states(texts, keep=True):
            yield from ((example, [states.numpy() for states in chains]) for example in by_text[text])

    def _record(self, data: FitData, seed: int) -> dict[str, Any]:
        trunk = self._trunk(self.recipe)
        truncated = sum(chain.truncated for text in data.texts() for chain in trunk.tokenized(text).chains)
        return {
            "model": self.spec.name,
            "identity": self.spec.identity(),
            "task": data.task,
            "chains": list(data.chain_names),
            "fit": data.fit,
            "seed": seed,
            "labels": "shuffled" if data.shuffled else "true",
            "recipe": self.recipe.to_dict(),
            "train": _counts(data.train),
            "validation": _counts(data.validation),
            "truncated_residues": truncated,
        }


def _examples(rows: pl.DataFrame, record: Mapping[str, Any]) -> list[Example]:
    joined = Recipe(**record["recipe"]).joined
    return examples_of(rows, task=record["task"], chain_names=tuple(record["chains"]), joined=joined)


def _pooled_states(data: FitData, recipe: Recipe) -> int:
    """Return how many states an antibody is pooled to: one per text for cls, else one per chain."""
    return 1 if recipe.joined and recipe.pooling == "cls" else len(data.chain_names)


def _counts(examples: Sequence[Example]) -> dict[str, int]:
    positives, labels = count_labels(examples)
    return {"examples": len(examples), "labels": labels, "positives": positives}


def _history_record(history: History) -> dict[str, Any]:
    return {
        "history": [asdict(epoch) for epoch in history.epochs],
        "best_epoch": history.best_epoch,
        "validation_loss": history.best_validation_loss,
        "stopped": history.stopped,
    }


def _resolved(device: str) -> str:
    if device != "auto":
        return device
    import torch  # noqa: PLC0415

    return "cuda" if torch.cuda.is_available() else "cpu"
