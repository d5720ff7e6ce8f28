"""The updates of one process made by several, which share with DeepSpeed ZeRO what they hold: the same losses.

Stage 1 shares the optimiser's state between the ranks, stage 2 the gradients too, stage 3 the weights too, frozen ones
included (Rajbhandari et al. 2020). A loop written for an `Updater` does not know which of them it has.
"""

from __future__ import annotations

import math
import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ab_assets.training.placement import BUCKET
from ab_assets.training.updates import adamw, measured, set_rate, state_copies, take_over

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ab_assets.training.updates import HeldBytes, Updater, UpdateRule

Stage = Literal[0, 1, 2, 3]


def sharded_updater(
    module: nn.Module, learned: Mapping[str, nn.Parameter], rule: UpdateRule, *, stage: Stage, device: torch.device
) -> Updater:
    """Return the updater of one rank of a started process group; all ranks come with the same weights.

    Under stage 3 the weights may still be on the CPU: each rank moves only its share of them to `device`.
    """
    return _Sharded(module, learned, rule, stage=stage, device=device)


@contextmanager
def joined_ranks(device_type: Literal["cpu", "cuda"], *, rendezvous: str) -> Iterator[None]:
    """Be one of the ranks that `launch` started, with DeepSpeed ready; `rendezvous`: URL of where they meet.

    Nothing is compiled: DeepSpeed is told that it can build no kernel of its own before it tries (on a CPU it would
    build a shared-memory reduction where there is a compiler, and anywhere it would look for one).
    """
    os.environ["DS_ACCELERATOR"] = device_type
    # DeepSpeed calls collectives by the names they had before torch 2.13; each call would say so
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    import deepspeed  # noqa: PLC0415 - seconds to import

    # What `deepspeed.ops` otherwise fills in at first sight by running compilers; see its __getattr__.
    deepspeed.ops.__compatible_ops__ = {}
    if device_type == "cuda":
        torch.cuda.set_device(rank_device(device_type))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "nccl" if device_type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, init_method=rendezvous, rank=rank, world_size=world)
    deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
    yield
    # Together: the first to exit would cut off the last that talks. Not after an error, when others may never come.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def rank_device(device_type: Literal["cpu", "cuda"]) -> torch.device:
    """Return the device of this rank: each has a GPU of its own."""
    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device_type == "cuda" else torch.device("cpu")


class _Sharded:
    """One rank's share of weights and optimiser, in DeepSpeed's engine."""

    def __init__(
        self,
        module: nn.Module,
        learned: Mapping[str, nn.Parameter],
        rule: UpdateRule,
        *,
        stage: Stage,
        device: torch.device,
    ) -> None:
        import deepspeed  # noqa: PLC0415 - seconds to import

        self._made_whole = deepspeed.zero.GatheredParameters
        self.rank = torch.distributed.get_rank()
        self.world = torch.distributed.get_world_size()
        self._module = module
        self._learned = dict(learned)
        self._rule = rule
        self._stage = stage
        self._device = device
        self._updates = 0
        # before weights are shared out: then none has a shape, and all would look like biases
        self._optimizer = adamw(learned, rule)
        config = _engine_config(stage, rule, sum(weight.numel() for weight in learned.values()))
        if stage == 3:
            # weight by weight, so that a device never holds the model whole; what is in no parameter is small
            deepspeed.zero.Init(module=module, config_dict_or_path=config)
            for name, buffer in module.named_buffers():
                owner, _, own = name.rpartition(".")
                module.get_submodule(owner)._buffers[own] = buffer.to(device)
        self._engine, *_ = deepspeed.initialize(model=module, optimizer=self._optimizer, config=config)
        self._zero = self._engine.optimizer
        self._share_masters()

    def forward(self, *inputs: Any, **options: Any) -> Tensor:  # noqa: ANN401
        output: Tensor = self._engine(*inputs, **options)
        return output

    def train(self, mode: bool) -> None:  # noqa: FBT001
        self._engine.train(mode)
        self._share_out()

    def backward(self, loss: Tensor, *, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed takes the mean over ranks, we want the sum
        self._engine.backward(loss * self.world)

    def step(self) -> Tensor:
        set_rate(self._optimizer, self._rule, self._updates)
        self._engine.step()  # nothing is updated where it found an overflow
        self._updates += 1
        norm = math.inf if self._zero.overflow else float(self._engine.get_global_grad_norm())
        return torch.tensor(norm)

    def summed(self, *values: float) -> tuple[float, ...]:
        totals = torch.tensor(values, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(totals)
        return tuple(totals.tolist())

    def weights(self) -> dict[str, Tensor]:
        whole: dict[str, Tensor] = {}
        for name, weight in self._learned.items():  # one at a time: together they might not fit
            with self._made_whole([weight], enabled=self._stage == 3):
                if self.rank == 0:
                    whole[name] = weight.detach().cpu().clone()
        return whole

    def load(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in self._learned.items():
            with self._made_whole([weight], modifier_rank=0, enabled=self._stage == 3), torch.no_grad():
                if self.rank == 0:
                    weight.copy_(weights[name])
                if self._stage < 3:
                    torch.distributed.broadcast(weight.data, src=0)
        self._share_out()

    def state(self) -> dict[str, Tensor]:
        return state_copies(self._optimizer.state, self._shares(), self._updates)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._updates = take_over(self._optimizer, self._shares(), state)
        if self._stage < 3:
            for share, whole in zip(self._shares().values(), self._zero.bit16_groups_flat, strict=True):
                torch.distributed.all_gather_into_tensor(whole.data, share.detach().clone())

    def held_bytes(self) -> HeldBytes:
        weights = [p.data for p in self._module.parameters()]
        weights += [p.ds_tensor.data for p in self._module.parameters() if hasattr(p, "ds_tensor")]
        moments = [t for state in self._optimizer.state.values() for t in state.values()]
        return measured(weights, [*moments, *self._shares().values()])

    def _share_out(self) -> None:
        """Forget the whole weights that passes without a way back left behind."""
        if self._stage == 3:
            self._zero.parameter_offload.partition_all_parameters()

    def _shares(self) -> dict[str, Tensor]:
        """Return what this rank updates: per parameter group (or part of one) a flat piece of the weights."""
        zero = self._zero
        flat = zero.fp32_partitioned_groups_flat if self._stage == 3 else zero.single_partition_of_fp32_groups
        return {f"share-{index}": share for index, share in enumerate(flat)}

    def _share_masters(self) -> None:
        """Let the optimiser update this rank's part of the weights in place.

        DeepSpeed keeps a float32 copy of the part even where the weights are float32: half as much again as the
        optimiser's moments.
        """
        zero = self._zero
        if self._stage == 3:
            parts = zero.fp16_partitioned_groups_flat
        else:
            parts = [ranks[self.rank] for ranks in zero.parallel_partitioned_bit16_groups]
        for master, part in zip(self._shares().values(), parts, strict=True):
            if part.dtype == master.dtype and part.device == master.device and part.shape == master.shape:
                master.data = part.data
        for weight in self._learned.values():
            weight._hp_mapping = None  # type: ignore[attr-defined] # holds the copies, for checkpoints not written


def _engine_config(stage: Stage, rule: UpdateRule, learned: int) -> dict[str, Any]:
    bucket = min(learned + learned % 2, BUCKET)  # even: DeepSpeed aligns to two elements
    return {
        # the updater says where an update ends, so DeepSpeed's own count of passes has no say
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": rule.max_gradient_norm,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 10**9,
        "zero_optimization": {
            "stage": stage,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            "stage3_prefetch_bucket_size": bucket,
            # no weight is small enough to be kept whole by every rank
            "stage3_param_persistence_threshold": 0,
            # or is kept whole because it is used again
            "stage3_max_reuse_distance": 0,
        },
    }
