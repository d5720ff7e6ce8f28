"""What the catalogue says of one model: where its weights are, how it reads a chain, how it is trained."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Family = Literal["bert", "esm", "roberta", "roformer", "esmc"]
Initialise = Literal["pre-trained", "random"]
Precision = Literal["fp32", "bf16"]
Seed = Annotated[int, Field(ge=0)]
Pin = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")]


class Table(BaseModel):
    """A table of the catalogue: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageSource(Table):
    """Weights that an installed Python distribution carries; `revision` is the sha256 of the weight file.

    `distribution` is pinned (`name==version`); `directory` and `vocabulary` are paths inside the installation.
    """

    kind: Literal["package"]
    distribution: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")]
    directory: str
    vocabulary: str
    revision: Pin
    initialise: Initialise = "pre-trained"
    seed: Seed = 0


class HubSource(Table):
    """Weights of a Hugging Face repository; `revision` is a full commit hash.

    `allow_unpinned`: without a revision take what the branch main holds; nothing notices when that changes.
    `ignore_remote_code`: read the weights of a repository that brings code of its own into the classes of `family`;
    its code is never run.
    """

    kind: Literal["hub"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Pin = ""
    allow_unpinned: bool = False
    ignore_remote_code: bool = False
    initialise: Initialise = "pre-trained"
    seed: Seed = 0


class LocalSource(Table):
    """Weights in a directory of this machine, relative to the model file; `revision` is `directory_digest` of it.

    The directories of the built-in models are relative to $AB_ASSETS_HOME/models. `allow_unpinned` and
    `ignore_remote_code` as for a hub source.
    """

    kind: Literal["local"]
    directory: str
    revision: Pin = ""
    allow_unpinned: bool = False
    ignore_remote_code: bool = False
    initialise: Initialise = "pre-trained"
    seed: Seed = 0


class TwinSource(Table):
    """A tiny randomly initialised model of the same classes, for tests and for trying things out.

    `learned_positions`: an esm twin numbers positions as ESM-1b does, instead of rotating by them as ESM-2 does.
    """

    kind: Literal["twin"]
    layers: Annotated[int, Field(ge=1, le=12)] = 3
    hidden: Annotated[int, Field(ge=8, le=256, multiple_of=8)] = 32
    seed: Seed = 0
    learned_positions: bool = False

    @property
    def revision(self) -> str:
        """A twin has none: its layers, width and seed say everything."""
        return ""


Source = Annotated[PackageSource | HubSource | LocalSource | TwinSource, Field(discriminator="kind")]


class Pairing(Table):
    """How the two chains of an antibody are shown to the model when they share a pass.

    `context`: "joined" for a model that was trained on pairs in one text, "separate" for one that saw single chains; a
    recipe may ask for either. `separator`: tokens between the chains; none means those with which a text of the family
    ends. `order`: which chain comes first. `marks`: tokens right before vh and vl, for a model that names its chains.
    """

    context: Literal["separate", "joined"] = "separate"
    separator: tuple[str, ...] = ()
    order: Literal["HL", "LH"] = "HL"
    marks: tuple[()] | tuple[str, str] = ()


class RecipeTable(Table):
    """How a model is fine-tuned unless a benchmark says otherwise.

    `method`: "last-layers" trains the last `trainable_layers` layers, "full" the whole model, "lora" low-rank adapters
    (Hu et al. 2021) in the attention of the last `trainable_layers` layers. None: 3 for last-layers, all for lora.
    `frozen_dropout`: layers that do not learn keep their dropout in training, as they do elsewhere; they then run in
    every epoch instead of once.
    `pairing`: whether both chains share a pass; "as-trained" does what the model was trained with.
    `head`: "linear", or "dense" for a hidden layer with tanh as transformers' sequence classifiers have.
    `warmup_fraction`: part of all steps in which the learning rate rises linearly; then it falls linearly to zero.
    `patience`: epochs without a better validation loss after which training stops.
    `class_weight`: "balanced" lets both classes count equally, at the price of probabilities that are too high for the
    rarer one.
    `cpu_precision`: what a CPU multiplies in; a GPU takes the model's own precision (`needs.precision`).
    """

    method: Literal["last-layers", "full", "lora"] = "last-layers"
    trainable_layers: Annotated[int, Field(ge=0, le=100)] | None = None
    frozen_dropout: bool = False
    lora_rank: Annotated[int, Field(ge=1, le=256)] = 8
    lora_alpha: Annotated[float, Field(gt=0)] = 16
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    pairing: Literal["as-trained", "separate", "joined"] = "as-trained"
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    epochs: Annotated[int, Field(ge=1, le=1000)] = 8
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    patience: Annotated[int, Field(ge=1)] = 3
    pooling: Literal["mean", "cls"] = "mean"
    head: Literal["linear", "dense"] = "linear"
    class_weight: Literal["balanced", "none"] = "none"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    cpu_precision: Precision = "fp32"

    @model_validator(mode="after")
    def _full_has_no_last_layers(self) -> Self:
        if self.method == "full" and self.trainable_layers is not None:
            msg = 'trainable_layers says which layers learn, method = "full" trains all of them: leave one out'
            raise ValueError(msg)
        if self.method == "lora" and self.trainable_layers == 0:
            msg = 'method = "lora" needs layers to adapt: trainable_layers = 0 leaves none'
            raise ValueError(msg)
        return self

    def learning_layers(self, layer_count: int) -> int:
        """Return how many of a model's last layers learn or carry adapters."""
        default = 3 if self.method == "last-layers" else layer_count
        return min(layer_count, default if self.trainable_layers is None else self.trainable_layers)


class Needs(Table):
    """What a run of the model asks of a machine. `precision` is that of a GPU; see a recipe's `cpu_precision`.

    `memory_gib`: main memory. `gpu_memory_gib`: of one GPU, for the model's own recipe. `shm_gib`: of /dev/shm in a
    pod. `zero_stage`: how DeepSpeed shares optimiser (1), gradients (2) and weights (3) between several GPUs; "auto"
    takes the cheapest that fits.
    """

    gpus: Annotated[int, Field(ge=0, le=64)] = 1
    cpus: Annotated[float, Field(gt=0, le=1024)] = 4
    memory_gib: Annotated[float, Field(gt=0)] = 8
    gpu_memory_gib: Annotated[float, Field(ge=0)] = 8
    shm_gib: Annotated[float, Field(ge=0)] = 1
    precision: Precision = "bf16"
    zero_stage: Literal["auto", 0, 1, 2, 3] = "auto"


class ModelSpec(Table):
    """One model of the catalogue. `max_length` counts residues; `parameters` counts the encoder and its LM head."""

    name: str
    title: str
    family: Family
    source: Source
    parameters: Annotated[int, Field(ge=1)]
    licence: str
    citation: str = ""
    max_length: Annotated[int, Field(ge=1)]
    pairing: Pairing = Pairing()
    recipe: RecipeTable = RecipeTable()
    needs: Needs = Needs()

    def identity(self) -> dict[str, object]:
        """Return what the model's results depend on, JSON-able: no title, no size and no path of this machine.

        Only where nothing pins a local model its directory stands for it. The recipe is left out because a fit states
        its own.
        """
        unpinned = isinstance(self.source, LocalSource) and not self.source.revision
        besides = {"vocabulary", "allow_unpinned", "ignore_remote_code"} | (set() if unpinned else {"directory"})
        source = self.source.model_dump(mode="json", exclude=besides)
        if source.get("initialise") == "pre-trained":
            del source["seed"]
        return {
            "family": self.family,
            "max_length": self.max_length,
            "pairing": self.pairing.model_dump(mode="json"),
            "precision": self.needs.precision,
            "source": source,
        }
