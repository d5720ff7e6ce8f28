"""What a fit takes of each device, reckoned before it starts, and the cheapest way in which it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ab_assets.errors import UnavailableError
from ab_assets.training.data import residue_count

if TYPE_CHECKING:
    from ab_assets.models.specification import Family, Precision, RecipeTable
    from ab_assets.training.data import FitData
    from ab_assets.training.recipe import Recipe
    from ab_assets.training.sharding import Stage

_WIDTH_OF = {"fp32": 4, "bf16": 2}
_FP32 = 4
_ADAMW = 2 * _FP32  # first and second moment

# Bytes that a layer keeps of each token for the backward pass, in units of its width, measured with saved_tensors_hooks
# and without attention matrices: 64 and 50, and 12 where there is dropout; ESM C has wider feed-forward layers.
_SAVED = {"fp32": 76, "bf16": 62}
_SAVED_BY_ESMC = {"fp32": 104, "bf16": 75}

# In low-rank adaptation: query, key and value of each attention.
_ADAPTED = 3

# What CUDA, NCCL and the allocator's gaps keep from us: a gibibyte, and a twentieth.
_CUDA_BYTES = 1 << 30
_USABLE = 0.95

BUCKET = 50_000_000
"""Elements that ranks exchange in one message at most; DeepSpeed reserves two such buffers."""

_FEWEST_TOKENS = 1024  # a pass of fewer is not worth having: then rather more devices
_MOST_DEVICES = 64

_AROUND = 4  # tokens of a text that are no residues, at most

_WAYS = {0: "no ZeRO", 1: "ZeRO-1", 2: "ZeRO-2", 3: "ZeRO-3"}


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a model is. `parameters`: all that are loaded; feed-forward layers are four times as wide."""

    name: str
    parameters: int
    layers: int
    width: int
    family: Family = "esm"

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer: attention 4 w² + 4 w, feed-forward 8 w² + 5 w, two norms 4 w."""
        return 12 * self.width**2 + 13 * self.width


@dataclass(frozen=True, slots=True)
class Training:
    """What learns and what goes through in one update.

    `learning_layers`: last layers that learn, or under "lora" carry adapters. `batch_tokens`: padded tokens of all
    chains of one update; `cached_tokens`: tokens of all chains whose states are kept.
    """

    method: Literal["last-layers", "full", "lora"]
    learning_layers: int
    batch_tokens: int
    precision: Precision = "fp32"
    lora_rank: int = 8
    cached_tokens: int = 0

    @classmethod
    def of(
        cls, recipe: RecipeTable, layers: int, *, precision: Precision, batch_tokens: int, cached_tokens: int = 0
    ) -> Training:
        """Return what `recipe` asks of a model with `layers` layers."""
        return cls(
            recipe.method,
            recipe.learning_layers(layers),
            batch_tokens,
            precision,
            recipe.lora_rank,
            cached_tokens if recipe.method == "last-layers" and not recipe.frozen_dropout else 0,
        )


@dataclass(frozen=True, slots=True)
class Devices:
    """What there is: `count` GPUs, or processes on CPUs, with `memory` bytes each."""

    kind: Literal["GPU", "CPU"]
    count: int
    memory: int

    @property
    def usable(self) -> int:
        """Bytes of each that tensors can have."""
        return int((self.memory - (_CUDA_BYTES if self.kind == "GPU" else 0)) * _USABLE)


@dataclass(frozen=True, slots=True)
class Demand:
    """Bytes on each device; `cached`, the states of frozen layers, are on disk and not in `total`.

    frozen: weights that stay as loaded, in the precision of the pass, or float32 where all learn; learned: those that
    learn, float32; activations: what a pass keeps for the way back, with the copies that autocast makes of what learns;
    buffers: what ranks exchange, and under ZeRO-3 the layers that are whole for the moment.
    """

    frozen: int
    learned: int
    gradients: int
    optimizer: int
    activations: int
    buffers: int
    cached: int

    @property
    def total(self) -> int:
        """Bytes on each device."""
        return self.frozen + self.learned + self.gradients + self.optimizer + self.activations + self.buffers


@dataclass(frozen=True, slots=True)
class Placement:
    """The way a fit runs. `pass_tokens`: padded tokens that one device takes at a time, the rest of a batch waits."""

    shape: Shape
    training: Training
    devices: Devices
    stage: Stage
    pass_tokens: int
    demand: Demand

    @property
    def processes(self) -> int:
        """How many devices take part."""
        return self.devices.count if self.stage else 1

    def describe(self) -> str:
        """Return one line: what takes how much, of how much, where."""
        need, training = self.demand, self.training
        weights = {training.precision: need.frozen, "fp32": need.learned}
        if training.precision == "fp32":
            weights = {"fp32": need.frozen + need.learned}
        said = [f"weights {' + '.join(f'{_gb(size)} {what}' for what, size in weights.items() if size)}"]
        rest = {
            "gradients": need.gradients,
            "optimiser": need.optimizer,
            "activations": need.activations,
            "buffers": need.buffers,
        }
        said += [f"{what} {_gb(size)}" for what, size in rest.items() if size]
        where = f"one {self.devices.kind}" if self.processes == 1 else f"each of {self.processes} {self.devices.kind}s"
        line = f"{self.shape.name}, {_method(training)}: {', '.join(said)} = {_gb(need.total)} of "
        line += f"{_gb(self.devices.memory)} on {where}: {_WAYS[self.stage]}, passes of {self.pass_tokens:,} tokens"
        return line + (f"; states of frozen layers {_gb(need.cached)} on disk" if need.cached else "")


def devices_here(kind: Literal["cpu", "cuda"], count: int | None = None) -> Devices:
    """Return `count` GPUs of this machine, by default all, or its main memory shared by `count` processes."""
    if kind == "cpu":
        import psutil  # noqa: PLC0415 - only here

        processes = count or 1
        return Devices("CPU", processes, psutil.virtual_memory().total // processes)
    import torch  # noqa: PLC0415 - only where there is work

    count = count or torch.cuda.device_count()
    return Devices("GPU", count, min(torch.cuda.get_device_properties(i).total_memory for i in range(count)))


def training_of(recipe: Recipe, data: FitData, layers: int, *, precision: Precision) -> Training:
    """Return what a fit on `data` asks of a model with `layers` layers, every example as long as the longest."""
    longest = max(sum(residue_count(text) + _AROUND for text in example.texts) for example in data.train)
    return Training.of(
        recipe,
        layers,
        precision=precision,
        batch_tokens=longest * min(recipe.batch_size, len(data.train)),
        cached_tokens=sum(residue_count(text) + _AROUND for text in data.texts()),
    )


def demand(shape: Shape, training: Training, *, stage: Stage, processes: int, pass_tokens: int) -> Demand:
    """Return what each of `processes` devices holds at the height of a pass of `pass_tokens` tokens.

    One process trains a copy of the layers that learn beside the loaded model, which other fits start from and which
    embeds; ranks train the only one there is.
    """
    learned = _learned(shape, training)
    width_of = _WIDTH_OF[training.precision]
    cast = 0 if training.precision == "fp32" else width_of
    frozen = shape.parameters
    if stage and training.method != "lora":
        frozen = max(0, frozen - learned)
    loaded = _FP32 if training.method == "full" else width_of
    share = {  # over how many ranks each is divided
        "weights": processes if stage == 3 else 1,
        "gradients": processes if stage >= 2 else 1,
        "optimizer": processes if stage >= 1 else 1,
    }
    buffers = 0
    if stage:
        buffers = 2 * _FP32 * min(learned, BUCKET)
    if stage == 3:
        # the layer that runs and the one that comes, whole
        at_hand = min(2, shape.layers) * shape.layer_parameters
        buffers += at_hand * (_FP32 + cast if training.method == "full" else max(width_of, _FP32))
        cast = 0  # counted there
    # one layer more than learns: the frozen ones hold theirs only while they run
    layers = min(shape.layers, training.learning_layers) + 1
    saved = (_SAVED_BY_ESMC if shape.family == "esmc" else _SAVED)[training.precision]
    return Demand(
        frozen=_divided(frozen * loaded, share["weights"]),
        learned=_divided(learned * _FP32, share["weights"]),
        gradients=_divided(learned * _FP32, share["gradients"]),
        optimizer=_divided(learned * _ADAMW, share["optimizer"]),
        activations=saved * pass_tokens * shape.width * layers + learned * cast,
        buffers=buffers,
        cached=training.cached_tokens * shape.width * width_of,
    )


def place(shape: Shape, training: Training, devices: Devices, *, stage: Stage | Literal["auto"] = "auto") -> Placement:
    """Return the cheapest way that fits: one device, else all of them with ZeRO-1, 2, 3; `stage` says which of several.

    In each way passes are made smaller, down to a thousand tokens, before the next is tried: a batch in several passes
    learns the same. Raises UnavailableError that says what is missing.
    """
    ways: list[Stage] = [0, 1, 2, 3] if stage == "auto" else [stage]
    if devices.count == 1:  # nothing can be shared
        ways = [0]
    for way in ways:
        found = _fitting(shape, training, devices, way)
        if found is not None:
            return found
    raise _missing(shape, training, devices)


def _fitting(shape: Shape, training: Training, devices: Devices, stage: Stage) -> Placement | None:
    processes = devices.count if stage else 1
    tokens = max(_FEWEST_TOKENS, _divided(training.batch_tokens, processes))
    while tokens >= _FEWEST_TOKENS:
        need = demand(shape, training, stage=stage, processes=processes, pass_tokens=tokens)
        if need.total <= devices.usable:
            return Placement(shape, training, devices, stage, tokens, need)
        tokens //= 2
    return None


def _missing(shape: Shape, training: Training, devices: Devices) -> UnavailableError:
    stage: Stage = 3 if devices.count > 1 else 0
    need = demand(shape, training, stage=stage, processes=devices.count, pass_tokens=_FEWEST_TOKENS)
    hints = []
    for count in range(devices.count + 1, _MOST_DEVICES + 1):
        if _fitting(shape, training, Devices(devices.kind, count, devices.memory), 3) is not None:
            hints.append(f"{count} such {devices.kind}s would do with ZeRO-3.")
            break
    if training.method == "full":
        hints.append('training.method = "last-layers" or "lora" takes less.')
    devices_there = f"{devices.count} {devices.kind}{'s' if devices.count > 1 else ''}"
    return UnavailableError(
        what=f"{shape.name}, {_method(training)}, does not fit",
        found=f"{devices_there} with {_gb(devices.usable)} usable each",
        expected=f"{_gb(need.total)} on each ({_WAYS[stage]}): {_gb(need.total - devices.usable)} are missing",
        hint=" ".join(hints),
    )


def _learned(shape: Shape, training: Training) -> int:
    if training.method == "full":
        return shape.parameters
    layers = min(shape.layers, training.learning_layers)
    if training.method == "lora":
        return layers * _ADAPTED * 2 * shape.width * training.lora_rank
    return layers * shape.layer_parameters


def _divided(amount: int, parts: int) -> int:
    return -(-amount // parts)


def _method(training: Training) -> str:
    layers = f"last {training.learning_layers} layer{'s' if training.learning_layers != 1 else ''}"
    return {"full": "all layers", "last-layers": layers, "lora": f"adapters of rank {training.lora_rank}"}[
        training.method
    ]


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
