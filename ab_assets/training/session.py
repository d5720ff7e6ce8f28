"""One load of a model's weights for all that is asked of it: fits, predictions, embeddings, probes, attention."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ab_assets.progress import Progress, silent
from ab_assets.training.checkpoint import (
    FIT_RECORD,
    FIT_WEIGHTS,
    PROBE_RECORD,
    PROBE_WEIGHTS,
    fill,
    read_record,
    write_record,
    write_tensors,
)
from ab_assets.training.data import count_labels, examples_of, unique_sequences
from ab_assets.training.predictions import scored_table
from ab_assets.training.probe import RESIDUE_LIMIT, LinearProbe, fit_linear_probe, labelled_items
from ab_assets.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from ab_assets.benchmarks.schema import Task
    from ab_assets.models.encoders import Encoder
    from ab_assets.models.specification import ModelSpec
    from ab_assets.training.data import Example, FitData
    from ab_assets.training.heads import TunedModel
    from ab_assets.training.loop import History
    from ab_assets.training.trunk import FrozenTrunk


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
    """A model and the states of every chain that went through its frozen layers.

    Nothing is loaded before it is needed: a session that only finds everything done loads no weights.
    `trainable_layers`: what the recipes of this session say, so that all share one trunk (default: the model's own).
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        device: str = "auto",
        trainable_layers: int | None = None,
        progress: Progress = silent,
    ) -> None:
        self.spec = spec
        self._device = device
        self._progress = progress
        self._trainable_layers = trainable_layers
        self._encoder: Encoder | None = None
        self._trunks: dict[int, FrozenTrunk] = {}
        self._embeddings: dict[str, NDArray[np.float32]] = {}

    @property
    def trunk_passes(self) -> int:
        """How many chains went through frozen layers so far."""
        return sum(trunk.passes for trunk in self._trunks.values())

    @property
    def loaded(self) -> bool:
        """Whether the weights have been loaded."""
        return self._encoder is not None

    @property
    def encoder(self) -> Encoder:
        """The model, loaded at the first call."""
        if self._encoder is None:
            from ab_assets.models.loading import load_encoder  # noqa: PLC0415 - torch only when weights are needed

            self._progress(f"loading {self.spec.title}", 0, 1)
            self._encoder = load_encoder(self.spec, device=_resolved(self._device))
            self._progress(f"loading {self.spec.title}", 1, 1)
        return self._encoder

    def prepare(self, sequences: Iterable[str]) -> None:
        """Run the frozen layers over these chains together, so that no fit depends on what ran before it."""
        self._trunk().prepare(sequences)

    def embed(self, sequences: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """Return by chain the mean state of its residues after the last pre-trained layer: (feature,) float32."""
        wanted = sorted(set(sequences), key=lambda s: (len(s), s))
        missing = [s for s in wanted if s not in self._embeddings]
        if missing:
            for sequence, states in self._trunk().final_states(missing):
                self._embeddings[sequence] = states.mean(dim=0).numpy()
        return {sequence: self._embeddings[sequence] for sequence in wanted}

    def remember(self, embeddings: Mapping[str, NDArray[np.float32]]) -> None:
        """Take embeddings that an earlier session of the same model made, so that they are not computed again."""
        self._embeddings.update(embeddings)

    def fit(self, data: FitData, recipe: Recipe, seed: int, directory: Path) -> FitSummary:
        """Fine-tune on `data` and write trainable.safetensors and fit.json into `directory`.

        `seed` decides head, dropout and order of batches. Raises FitFailedError when a loss is not finite.
        """
        from ab_assets.training.loop import fine_tune  # noqa: PLC0415 - torch

        started = time.perf_counter()
        trunk = self._trunk(recipe.trainable_layers)
        model = self._new_model(recipe, data.task, data.chain_names, seed=seed)
        history = fine_tune(model, data, trunk, recipe, seed=seed, progress=self._progress)
        weights = model.trainable_weights()
        write_tensors(directory / FIT_WEIGHTS, weights)
        record = self._record(data, recipe, seed) | {"split_layer": trunk.split} | _history_record(history)
        write_record(directory / FIT_RECORD, record)
        return FitSummary(
            best_epoch=history.best_epoch,
            epochs=len(history.epochs),
            stopped=history.stopped,
            validation_loss=history.best_validation_loss,
            train_examples=len(data.train),
            validation_examples=len(data.validation),
            trainable_parameters=sum(weight.numel() for weight in weights.values()),
            truncated_residues=record["truncated_residues"],
            seconds=time.perf_counter() - started,
        )

    def predict_fit(self, directory: Path, rows: pl.DataFrame) -> pl.DataFrame:
        """Return SCORED for CURATED `rows` (labelled or not) from the fit in `directory`; their order does not matter.

        Raises MissingArtifactError or CorruptArtifactError when there is no fit of this model.
        """
        from ab_assets.training.loop import predict_logits  # noqa: PLC0415 - torch

        record = read_record(directory / FIT_RECORD, self.spec)
        examples = examples_of(rows, task=record["task"], chain_names=tuple(record["chains"]))
        if not examples:
            return scored_table(rows, [])
        model = self._stored_model(directory, record)
        trunk = self._trunk(Recipe(**record["recipe"]).trainable_layers)
        trunk.ensure(unique_sequences(examples))
        logits = predict_logits(model, examples, trunk)
        return scored_table(rows, ((example, one.double().sigmoid().numpy()) for example, one in logits))

    def fit_probe(self, data: FitData, recipe: Recipe, seed: int, directory: Path) -> ProbeSummary:
        """Fit the frozen probe on `data` and write probe.safetensors and probe.json into `directory`.

        `seed` decides which residues are used where a paratope set has more than the probe takes.
        """
        import torch  # noqa: PLC0415

        started = time.perf_counter()
        train = labelled_items(self._features(data.train), limit=RESIDUE_LIMIT, seed=seed)
        validation = labelled_items(self._features(data.validation), limit=RESIDUE_LIMIT, seed=seed)
        probe = fit_linear_probe(*train, *validation, balanced=recipe.class_weight == "balanced")
        write_tensors(
            directory / PROBE_WEIGHTS, {name: torch.from_numpy(array) for name, array in probe.arrays().items()}
        )
        record = self._record(data, recipe, seed)
        outcome = {"strength": probe.strength, "validation_loss": probe.validation_loss, "train_items": len(train[1])}
        write_record(directory / PROBE_RECORD, record | outcome)
        return ProbeSummary(
            strength=probe.strength,
            validation_loss=probe.validation_loss,
            train_items=len(train[1]),
            truncated_residues=record["truncated_residues"],
            seconds=time.perf_counter() - started,
        )

    def predict_probe(self, directory: Path, rows: pl.DataFrame) -> pl.DataFrame:
        """Return SCORED for CURATED `rows` (labelled or not) from the probe in `directory`."""
        from ab_assets.models.loading import read_weights  # noqa: PLC0415 - torch

        record = read_record(directory / PROBE_RECORD, self.spec)
        stored = read_weights(directory / PROBE_WEIGHTS)
        probe = LinearProbe.of_arrays({name: tensor.numpy() for name, tensor in stored.items()})
        examples = examples_of(rows, task=record["task"], chain_names=tuple(record["chains"]))
        return scored_table(rows, ((e, probe.probabilities(x)) for e, x in self._features(examples)))

    def attention(
        self, rows: pl.DataFrame, *, chain_names: Sequence[str], directory: Path | None = None
    ) -> pl.DataFrame:
        """Return ATTENTION over CURATED `rows` of the pre-trained model and, if given, of the fit in `directory`."""
        from ab_assets.training.attention import attention_table  # noqa: PLC0415 - torch

        trunk = self._trunk()
        tops = {}
        if directory is not None:
            record = read_record(directory / FIT_RECORD, self.spec)
            trunk = self._trunk(Recipe(**record["recipe"]).trainable_layers)
            tops["fine-tuned"] = self._stored_model(directory, record).stack
        tops["pre-trained"] = self.encoder.stack(trunk.split, self.encoder.layer_count)
        return attention_table(self.encoder, tops, rows, split=trunk.split, chain_names=chain_names)

    def _trunk(self, trainable_layers: int | None = None) -> FrozenTrunk:
        from ab_assets.training.trunk import FrozenTrunk  # noqa: PLC0415 - torch

        layers = self._trainable_layers if trainable_layers is None else trainable_layers
        split = max(0, self.encoder.layer_count - (3 if layers is None else layers))
        if split not in self._trunks:
            self._trunks[split] = FrozenTrunk(self.encoder, split, progress=self._progress)
        return self._trunks[split]

    def _new_model(self, recipe: Recipe, task: Task, chain_names: Sequence[str], *, seed: int) -> TunedModel:
        import torch  # noqa: PLC0415

        from ab_assets.training.heads import TunedModel  # noqa: PLC0415 - torch

        stack = self.encoder.trainable_copy(self._trunk(recipe.trainable_layers).split)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = TunedModel(stack, width=self.encoder.width, chains=len(chain_names), task=task, recipe=recipe)
        return model.to(self.encoder.device)

    def _stored_model(self, directory: Path, record: dict[str, Any]) -> TunedModel:
        model = self._new_model(Recipe(**record["recipe"]), record["task"], record["chains"], seed=record["seed"])
        fill(model.trainable_weights(), directory / FIT_WEIGHTS)
        return model.eval()

    def _features(self, examples: Sequence[Example]) -> Iterator[tuple[Example, NDArray[np.float32]]]:
        """Yield each example with (1, feature): its chains' embeddings, or for paratopes (seen residue, feature)."""
        if not examples:
            return
        sequences = unique_sequences(examples)
        if examples[0].chain is None:
            embedded = self.embed(sequences)
            yield from ((e, np.concatenate([embedded[s] for s in e.sequences])[None]) for e in examples)
            return
        by_sequence: dict[str, list[Example]] = {}
        for example in examples:
            by_sequence.setdefault(example.sequences[0], []).append(example)
        for sequence, states in self._trunk().final_states(sequences, keep=True):
            yield from ((example, states.numpy()) for example in by_sequence[sequence])

    def _record(self, data: FitData, recipe: Recipe, seed: int) -> dict[str, Any]:
        truncated = sum(max(0, len(s) - self.spec.max_length) for s in data.sequences())
        return {
            "model": self.spec.name,
            "identity": self.spec.identity(),
            "task": data.task,
            "chains": list(data.chain_names),
            "fit": data.fit,
            "seed": seed,
            "labels": "shuffled" if data.shuffled else "true",
            "recipe": recipe.to_dict(),
            "train": _counts(data.train),
            "validation": _counts(data.validation),
            "truncated_residues": truncated,
        }


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
