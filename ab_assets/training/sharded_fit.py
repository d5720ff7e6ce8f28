"""A fit in ranks that share optimiser, gradients or weights: `python -m ab_assets.training.sharded_fit <folder>`.

The folder holds job.json; rank 0 leaves history.json and trainable.safetensors there, each rank rank-<n>.json.
"""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ab_assets.models.specification import ModelSpec
from ab_assets.progress import Progress, silent
from ab_assets.training.checkpoint import FIT_WEIGHTS, write_record, write_tensors
from ab_assets.training.data import Example, FitData
from ab_assets.training.launching import launch, run_rank
from ab_assets.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from ab_assets.training.loop import History, Run
    from ab_assets.training.sharding import Stage
    from ab_assets.training.snapshots import Snapshots
    from ab_assets.training.updates import UpdaterOf

JOB = "job.json"
HISTORY = "history.json"


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a rank needs to know.

    pooled: how many states an antibody is pooled to. budget: padded tokens that one pass of one rank takes.
    states: the folder in which the states of frozen layers are kept. snapshots: the folder and the key of the fit's
    snapshots, of which each rank keeps its own; None for none.
    """

    spec: ModelSpec
    recipe: Recipe
    data: FitData
    pooled: int
    seed: int
    stage: Stage
    budget: int
    states: str
    device: Literal["cpu", "cuda"] = "cpu"
    snapshots: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON has it."""
        names = ("pooled", "seed", "stage", "budget", "states", "device", "snapshots")
        plain = {name: getattr(self, name) for name in names}
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
        kept = None if job["snapshots"] is None else tuple(job["snapshots"])
        read = {"spec": ModelSpec(**job["spec"]), "recipe": Recipe(**job["recipe"]), "data": whole, "snapshots": kept}
        return cls(**{**job, **read})


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit in ranks gave: its history, what was learned, and how many texts ran through frozen layers."""

    history: History
    weights: dict[str, Tensor]
    passes: int


def fit_in_ranks(job: Job, folder: Path, *, processes: int, progress: Progress = silent) -> Fitted:
    """Run the job in `processes` ranks of this machine, which leave in `folder` what they made and said.

    Raises FitFailedError when a rank fails, InterruptedFitError after SIGTERM, when the ranks' state is safe.
    """
    write_record(folder / JOB, job.to_json())
    launch("ab_assets.training.sharded_fit", folder, processes=processes, progress=progress)
    return fitted_in(folder)


def fitted_in(folder: Path) -> Fitted:
    """Return what the ranks of a job left in its folder."""
    from ab_assets.models.loading import read_weights  # noqa: PLC0415 - torch
    from ab_assets.training.loop import Epoch, History  # noqa: PLC0415 - torch

    said = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
    history = History(tuple(Epoch(**epoch) for epoch in said["epochs"]), said["best_epoch"], said["stopped"])
    figures = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("rank-*.json")]
    return Fitted(history, read_weights(folder / FIT_WEIGHTS), sum(one["passes"] for one in figures))


def run_of(
    job: Job,
    device: torch.device,
    updater_of: UpdaterOf,
    *,
    rank: int = 0,
    world: int = 1,
    progress: Progress = silent,
) -> Run:
    """Return the job as it begins on one rank, with nothing of the model in this process twice.

    The layers that do not learn have run, each text once among all ranks.
    """
    import torch  # noqa: PLC0415

    from ab_assets.models.loading import load_encoder  # noqa: PLC0415 - torch
    from ab_assets.training.heads import tuned_model  # noqa: PLC0415 - torch
    from ab_assets.training.loop import Run  # noqa: PLC0415 - torch
    from ab_assets.training.snapshots import Snapshots  # noqa: PLC0415 - torch
    from ab_assets.training.split_model import SplitModel  # noqa: PLC0415 - torch
    from ab_assets.training.states import StateStore  # noqa: PLC0415 - torch
    from ab_assets.training.trunk import FrozenTrunk  # noqa: PLC0415 - torch

    precision = job.spec.needs.precision if device.type == "cuda" else job.recipe.cpu_precision
    narrow = job.recipe.loads_narrow(device.type, precision)
    # under stage 3 no rank's device ever holds the model whole
    load_on = torch.device("cpu") if job.stage == 3 else device
    encoder = load_encoder(job.spec, device=str(load_on), dtype=torch.bfloat16 if narrow else torch.float32)
    encoder.precision = precision
    split = job.recipe.split_layer(encoder.layer_count)
    frozen = encoder.stack(0, split)
    model = tuned_model(encoder, job.recipe, job.data.task, job.pooled, seed=job.seed, copied=False)
    snapshots: Snapshots | None = None
    if job.snapshots is not None:
        where, key = job.snapshots
        snapshots = Snapshots(Path(where), key=key).of_rank(rank, world=world, stage=job.stage)
    trunk = FrozenTrunk(encoder, split, store=StateStore(Path(job.states)), progress=progress)
    run = Run(
        model,
        job.data,
        trunk,
        job.recipe,
        seed=job.seed,
        progress=progress,
        snapshots=snapshots,
        budget=job.budget,
        updater_of=updater_of,
        module=SplitModel(frozen, model),
    )
    encoder.move_embeddings(device)
    trunk.ensure_in_ranks(job.data.texts(), run.updater)
    return run


def rank_run(job: Job, progress: Progress = silent) -> Run:
    """Return the job as it begins on this rank of a started group (`joined_ranks`)."""
    import torch  # noqa: PLC0415

    from ab_assets.training.sharding import rank_device, sharded_updater  # noqa: PLC0415 - torch

    device = rank_device(job.device)
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    updater_of = functools.partial(sharded_updater, stage=job.stage, device=device)
    return run_of(job, device, updater_of, rank=rank, world=world, progress=progress)


def leave(run: Run, history: History, folder: Path) -> None:
    """Leave in `folder` what a run that has ended on this rank gave, and what the rank held."""
    if run.updater.rank == 0:
        write_tensors(folder / FIT_WEIGHTS, run.best)
        write_record(folder / HISTORY, asdict(history))
    figures = asdict(run.updater.held_bytes()) | {"passes": run.trunk.passes}
    write_record(folder / f"rank-{run.updater.rank}.json", figures)


def _example_json(example: Example) -> dict[str, Any]:
    labels = None if example.labels is None else example.labels.tolist()
    return {"row_id": example.row_id, "texts": example.texts, "scored": example.scored, "labels": labels}


def _example(given: Mapping[str, Any]) -> Example:
    labels = None if given["labels"] is None else np.array(given["labels"], dtype=np.int8)
    texts = tuple(tuple(text) for text in given["texts"])
    return Example(given["row_id"], texts, tuple(given["scored"]), labels)


def main() -> None:
    """Run the job of the folder that the command line names, as one rank."""
    folder = Path(sys.argv[1])

    def work(rendezvous: str, progress: Progress) -> None:
        from ab_assets.training.sharding import joined_ranks  # noqa: PLC0415 - torch

        job = Job.from_json(json.loads((folder / JOB).read_text(encoding="utf-8")))
        with joined_ranks(job.device, rendezvous=rendezvous):
            run = rank_run(job, progress)
            leave(run, run.finish(), folder)

    run_rank(folder, work)


if __name__ == "__main__":
    main()
