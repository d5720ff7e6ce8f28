"""What the catalogue says of one model: where its weights are, how it reads a chain, how it is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Family = Literal["bert", "esm"]
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
    """Weights of a Hugging Face repository; `revision` is a full commit hash."""

    kind: Literal["hub"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Pin
    initialise: Initialise = "pre-trained"
    seed: Seed = 0


class LocalSource(Table):
    """Weights in a directory of this machine, relative to the model file; `revision` is `directory_digest` of it."""

    kind: Literal["local"]
    directory: str
    revision: Pin = ""
    initialise: Initialise = "pre-trained"
    seed: Seed = 0


class TwinSource(Table):
    """A tiny randomly initialised model of the same classes, for tests and for trying things out."""

    kind: Literal["twin"]
    layers: Annotated[int, Field(ge=1, le=12)] = 3
    hidden: Annotated[int, Field(ge=8, le=256, multiple_of=4)] = 32
    seed: Seed = 0

    @property
    def revision(self) -> str:
        """A twin has none: its layers, width and seed say everything."""
        return ""


Source = Annotated[PackageSource | HubSource | LocalSource | TwinSource, Field(discriminator="kind")]


class RecipeTable(Table):
    """How a model is fine-tuned unless a benchmark says otherwise.

    `trainable_layers`: the last k layers learn, the layers before them and the embeddings stay as they are.
    `warmup_fraction`: part of all steps in which the learning rate rises linearly; then it falls linearly to zero.
    `patience`: epochs without a better validation loss after which training stops.
    `class_weight`: "balanced" lets both classes count equally, at the price of probabilities that are too high for the
    rarer one.
    """

    method: Literal["last-layers"] = "last-layers"
    trainable_layers: Annotated[int, Field(ge=0, le=100)] = 3
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    epochs: Annotated[int, Field(ge=1, le=1000)] = 8
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    patience: Annotated[int, Field(ge=1)] = 3
    pooling: Literal["mean", "cls"] = "mean"
    class_weight: Literal["balanced", "none"] = "none"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0


class Needs(Table):
    """What a run of the model asks of a machine. `precision` is that of a GPU; a CPU always computes in fp32."""

    gpus: Annotated[int, Field(ge=0, le=64)] = 1
    memory_gib: Annotated[float, Field(gt=0)] = 8
    shm_gib: Annotated[float, Field(ge=0)] = 1
    precision: Precision = "bf16"


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
    pairing: Literal["separate"] = "separate"
    recipe: RecipeTable = RecipeTable()
    needs: Needs = Needs()

    def identity(self) -> dict[str, object]:
        """Return what the model's results depend on, JSON-able: no title, no needs and no path of this machine.

        The recipe is left out because a fit states its own.
        """
        source = self.source.model_dump(mode="json", exclude={"directory", "vocabulary"})
        if source.get("initialise") == "pre-trained":
            del source["seed"]
        return {
            "family": self.family,
            "max_length": self.max_length,
            "pairing": self.pairing,
            "source": source,
        }
