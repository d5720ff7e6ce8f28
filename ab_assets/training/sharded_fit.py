"""A fit whose ranks share optimiser, gradients or weights: `python -m ab_assets.training.sharded_fit <folder>`.

The folder holds job.json; rank 0 leaves losses.json and trainable.safetensors there, each rank rank-<n>.json.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ab_assets.models.specification import ModelSpec
from ab_assets.progress import Progress, silent
from ab_assets.training.checkpoint import FIT_WEIGHTS, write_record, write_tensors
from ab_assets.training.data import Example, FitData
from ab_assets.training.launching import launch, run_rank
from ab_assets.training.portions import portions
from ab_assets.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from torch import nn

    from ab_assets.training.sharding import Stage
    from ab_assets.training.updates import Updater, UpdateRule
    from ab_assets.training.whole import FitModel

JOB = "job.json"
LOSSES = "losses.json"


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a rank needs to know. `token_budget`: padded tokens that one pass of one rank takes.

    `frozen`: whether the layers that do not learn run once per chain, divided among the ranks, and every rank keeps
    the states ("kept"), or in each pass ("rerun"). Under stage 3 ranks share these layers either way.
    """

    spec: ModelSpec
    recipe: Recipe
    seed: int
    data: FitData
    stage: Stage
    token_budget: int
    frozen: Literal["kept", "rerun"] = "rerun"
    device: Literal["cpu", "cuda"] = "cpu"

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON has it."""
        plain = {name: getattr(self, name) for name in ("seed", "stage", "token_budget", "frozen", "device")}
        data = {name: getattr(self.data, name) for name in ("task", "chain_names", "fit", "shuffled")}
        examples = {part: [_example_json(e) for e in getattr(self.data, part)] for part in ("train", "validation")}
        spec = self.spec.model_dump(mode="json")
        return {**plain, "spec": spec, "recipe": self.recipe.to_dict(), "data": data | examples}

    @classmethod
    def from_json(cls, job: Mapping[str, Any]) -> Job:
        """Return the job that `to_json` wrote."""
        data = job["data"]
        whole = FitData(
            data["task"],
            tuple(data["chain_names"]),
            data["fit"],
            data["shuffled"],
            *(tuple(_example(example) for example in data[part]) for part in ("train", "validation")),
        )
        return cls(**{**job, "spec": ModelSpec(**job["spec"]), "recipe": Recipe(**job["recipe"]), "data": whole})


@dataclass(frozen=True, slots=True)
class Losses:
    """Of each update the loss per label and the gradients' norm before clipping; of each epoch the validation loss."""

    updates: tuple[tuple[float, float], ...]
    validation: tuple[float, ...]
    best_epoch: int
    stopped: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fit that has ended in this process; the updater holds the weights of its best epoch."""

    losses: Losses
    updater: Updater
    model: FitModel


def fit_in_ranks(job: Job, folder: Path, *, processes: int, progress: Progress = silent) -> Losses:
    """Run the job in `processes` ranks of this machine and return their losses; weights and figures are in `folder`.

    Raises FitFailedError when a rank fails.
    """
    write_record(folder / JOB, job.to_json())
    launch("ab_assets.training.sharded_fit", folder, processes=processes, progress=progress)
    losses = json.loads((folder / LOSSES).read_text(encoding="utf-8"))
    return Losses(
        **losses | {"updates": tuple(map(tuple, losses["updates"])), "validation": tuple(losses["validation"])}
    )


def fit_alone(job: Job, *, progress: Progress = silent) -> Fitted:
    """Run the job in this process, without DeepSpeed; `job.stage` has no say."""
    import torch  # noqa: PLC0415

    from ab_assets.training.updates import single_updater  # noqa: PLC0415 - torch

    with torch.random.fork_rng(devices=[]):
        return _fit(job, torch.device(job.device), torch.device(job.device), single_updater, progress)


def run_job(job: Job, folder: Path, progress: Progress) -> None:
    """Run the job as one rank of a started group (`joined_ranks`) and leave what it gave in `folder`."""
    import torch  # noqa: PLC0415

    from ab_assets.training.sharding import rank_device, sharded_updater  # noqa: PLC0415 - torch

    device = rank_device(job.device)

    def updater(model: nn.Module, learned: Mapping[str, nn.Parameter], rule: UpdateRule) -> Updater:
        return sharded_updater(model, learned, rule, stage=job.stage, device=device)

    # under stage 3 no rank's device ever holds the model whole
    fitted = _fit(job, device, torch.device("cpu") if job.stage == 3 else device, updater, progress)
    shared = fitted.updater
    weights = shared.weights()
    if shared.rank == 0:
        write_tensors(folder / FIT_WEIGHTS, weights)
        write_record(folder / LOSSES, asdict(fitted.losses))
    figures = asdict(shared.held_bytes()) | {"passes": fitted.model.passes}
    write_record(folder / f"rank-{shared.rank}.json", figures)


def _fit(
    job: Job,
    device: torch.device,
    load_on: torch.device,
    updater_of: Callable[[nn.Module, Mapping[str, nn.Parameter], UpdateRule], Updater],
    progress: Progress,
) -> Fitted:
    import torch  # noqa: PLC0415

    from ab_assets.training.batches import training_batches  # noqa: PLC0415 - with numpy, when there is work
    from ab_assets.training.loop import _rate  # noqa: PLC0415 - torch
    from ab_assets.training.sharding import rank_seed  # noqa: PLC0415 - torch
    from ab_assets.training.updates import UpdateRule  # noqa: PLC0415 - torch
    from ab_assets.training.whole import FitModel  # noqa: PLC0415 - torch

    recipe, train = job.recipe, job.data.train
    lengths = [sum(len(s) for s in example.sequences) for example in train]
    updates = recipe.epochs * math.ceil(len(train) / recipe.batch_size)
    rule = UpdateRule(
        recipe.learning_rate,
        recipe.weight_decay,
        recipe.max_gradient_norm,
        lambda step: _rate(step, updates, recipe.warmup_fraction),
    )
    model = FitModel(job.spec, recipe, job.data, seed=job.seed, load_on=load_on, device=device)
    updater = updater_of(model.module, model.tuned.trainable_weights(), rule)
    if job.frozen == "kept":
        model.keep_states(job.data.sequences(), updater, job.token_budget)
    torch.manual_seed(rank_seed(job.seed, updater.rank))
    made: list[tuple[float, float]] = []
    validation: list[float] = []
    best_epoch, best = 0, None
    for epoch in range(recipe.epochs):
        batches = training_batches(lengths, recipe.batch_size, seed=job.seed, epoch=epoch)
        for number, batch in enumerate(batches, start=1):
            examples = [train[i] for i in batch]
            made.append(_update(model, updater, examples, job.token_budget, where=f"step {len(made) + 1}"))
            progress(f"epoch {epoch + 1} of {recipe.epochs}", number, len(batches))
        validation.append(_validate(model, updater, job.data.validation, job.token_budget))
        if best is None or validation[-1] < validation[best_epoch]:
            best_epoch, best = epoch, updater.weights()
        elif epoch - best_epoch >= recipe.patience:
            break
    updater.load(cast("dict[str, torch.Tensor]", best))
    stopped = "early" if len(validation) < recipe.epochs else "epochs"
    return Fitted(Losses(tuple(made), tuple(validation), best_epoch, stopped), updater, model)


def _update(
    model: FitModel, updater: Updater, examples: Sequence[Example], token_budget: int, *, where: str
) -> tuple[float, float]:
    from ab_assets.training.whole import require_finite  # noqa: PLC0415 - torch

    labels = sum(model.labels(example) for example in examples)
    shares = portions([model.tokens(e) for e in examples], world=updater.world, token_budget=token_budget)
    updater.train(mode=True)
    total = 0.0
    mine = shares[updater.rank]
    for number, portion in enumerate(mine, start=1):
        loss = model.loss(updater.forward, [examples[i] for i in portion.indices]) * (float(portion.counts) / labels)
        updater.backward(loss, last=number == len(mine))
        total += loss.item()
    (loss_of_all,) = updater.summed(total)
    # before the update: every rank sees the same sum, so all stop or none
    require_finite(loss_of_all, examples, where=where)
    norm = updater.step().item()
    require_finite(norm, examples, where=where)
    return loss_of_all, norm


def _validate(model: FitModel, updater: Updater, examples: Sequence[Example], token_budget: int) -> float:
    import torch  # noqa: PLC0415

    from ab_assets.training.whole import require_finite  # noqa: PLC0415 - torch

    shares = portions([model.tokens(e) for e in examples], world=updater.world, token_budget=token_budget)
    updater.train(mode=False)
    total = 0.0
    with torch.no_grad():
        for portion in shares[updater.rank]:
            loss = model.loss(updater.forward, [examples[i] for i in portion.indices])
            total += loss.item() if portion.counts else 0.0
    (loss_of_all,) = updater.summed(total)
    require_finite(loss_of_all, examples, where="validation")
    return loss_of_all / sum(model.labels(example) for example in examples)


def _example_json(example: Example) -> dict[str, Any]:
    labels = None if example.labels is None else example.labels.tolist()
    return {"row_id": example.row_id, "chain": example.chain, "sequences": list(example.sequences), "labels": labels}


def _example(given: Mapping[str, Any]) -> Example:
    labels = None if given["labels"] is None else np.array(given["labels"], dtype=np.bool_)
    return Example(given["row_id"], given["chain"], tuple(given["sequences"]), labels)


def main() -> None:
    """Run the job of the folder that the command line names, as one rank."""
    folder = Path(sys.argv[1])

    def work(rendezvous: str, progress: Progress) -> None:
        from ab_assets.training.sharding import joined_ranks  # noqa: PLC0415 - torch

        job = Job.from_json(json.loads((folder / JOB).read_text(encoding="utf-8")))
        with joined_ranks(job.device, rendezvous=rendezvous):
            run_job(job, folder, progress)

    run_rank(folder, work)


if __name__ == "__main__":
    main()
