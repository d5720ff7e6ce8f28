"""What benchmark.toml may say: one question asked of one dataset, validated at construction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from ab_assets.keys import is_file_name, is_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Item = TypeVar("Item", str, int)


def _named(kind: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not is_key(value):
            msg = f"{value!r} is no {kind} name (a-z, 0-9, '.', '_', '-'; first a letter or digit; at most 63)"
            raise ValueError(msg)
        return value

    return check


def _inside(value: str) -> str:
    if not is_file_name(value):
        msg = f"{value!r} is no file of the benchmark's folder: copy it there and write its name, without '..' or '\\'"
        raise ValueError(msg)
    return value


def _distinct(values: tuple[Item, ...]) -> tuple[Item, ...]:
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        msg = f"{twice!r} is listed twice"
        raise ValueError(msg)
    return values


def _ascending(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        msg = f"{list(value)} is no range: the first number is the larger one"
        raise ValueError(msg)
    return value


Task = Literal["antigen-specificity", "paratope"]
Chains = Literal["H", "L", "HL"]
Policy = Literal["identity", "group", "published", "random", "time"]
Baseline = Literal["kmer-logistic", "nearest-neighbour", "windowed-forest", "position-frequency"]
Fraction = Annotated[float, Field(gt=0, le=1)]
FileName = Annotated[str, AfterValidator(_inside)]
Seed = Annotated[int, Field(ge=0)]
# TOML and JSON write tuples as lists, hence not strict.
Models = Annotated[
    tuple[Annotated[str, AfterValidator(_named("model"))], ...], Field(strict=False), AfterValidator(_distinct)
]
Files = Annotated[tuple[FileName, ...], Field(strict=False), AfterValidator(_distinct)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
Range = Annotated[tuple[Annotated[int, Field(ge=1)], int], Field(strict=False), AfterValidator(_ascending)]

# The baselines that can do a task; the first is the one that its models are compared with.
_BASELINES: Mapping[str, tuple[Baseline, ...]] = {
    "antigen-specificity": ("kmer-logistic", "nearest-neighbour"),
    "paratope": ("windowed-forest", "position-frequency"),
}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Download(_Table):
    """Where a source file can be had, and the digest it must have."""

    file: FileName
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    url: str | None = None
    derived_from: str | None = None


class Source(_Table):
    """The files as received. Paths are relative to the benchmark's folder, or to the root of `archive`.

    antigen, evidence, weak: which label to read from a CoV-AbDab file, and what "(weak)" counts as.
    """

    files: Annotated[Files, Field(min_length=1)]
    archive: FileName | None = None
    format: Literal["table", "fasta", "sabdab", "airr", "oas", "cov-abdab"] = "table"
    licence: str = "not stated"
    citation: str = ""
    antigen: str | None = None
    evidence: Literal["binding", "neutralisation"] = "binding"
    weak: Literal["drop", "positive", "negative"] = "drop"
    download: Annotated[tuple[Download, ...], Field(strict=False)] = ()

    @property
    def received(self) -> tuple[str, ...]:
        """What lies in the folder: the archive, or else the files."""
        return self.files if self.archive is None else (self.archive,)


class Columns(_Table):
    """Which column of the source holds what. `chain`, `sequence`, `positions`, `paratope` are for one-row-per-chain
    tables (formats `sabdab` and `airr`); `vh`, `vl` for one-row-per-antibody tables. Formats with names of their own
    (`airr`, `oas`, `cov-abdab`) need them only where a file differs. `keep`: columns that nothing reads and that the
    curated antibodies carry along; "*" is all of them."""

    sequence_id: str | None = None
    vh: str | None = None
    vl: str | None = None
    cdrh3: str | None = None
    label: str | None = None
    positive: Texts = ()
    negative: Texts = ()
    subject_id: str | None = None
    entry: str | None = None
    part: str | None = None
    date: str | None = None
    v_call: str | None = None
    j_call: str | None = None
    cell: str | None = None
    chain: str | None = None
    sequence: str | None = None
    positions: str | None = None
    paratope: str | None = None
    vh_positions: str | None = None
    vl_positions: str | None = None
    keep: Annotated[Texts, AfterValidator(_distinct)] = ()

    @field_validator("positive", "negative", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in value)


class Curating(_Table):
    """What is done with rows that can be read in more than one way.

    conflicts: rows of one antibody with contradicting labels are dropped, or the fewer of them are, or they are an
    error. ambiguous: B, J, O, U and Z reject the row, or become X. unknown: X is kept, or rejects the row. *_length:
    how many residues a chain may have.
    """

    conflicts: Literal["drop", "majority", "error"] = "drop"
    ambiguous: Literal["reject", "x"] = "reject"
    unknown: Literal["keep", "reject"] = "keep"
    vh_length: Range = (50, 200)
    vl_length: Range = (50, 200)


class Identity(_Table):
    """Bounds at or above which two antibodies may not stand on both sides of a split; None is reported, not gated."""

    vh: Fraction | None = 0.9
    cdrh3: Fraction | None = 0.8
    vl: Fraction | None = None


class Parts(_Table):
    """Which source files a published split declares as training, validation and test."""

    train: Files = ()
    validation: Files = ()
    test: Files = ()


class Split(_Table):
    """How rows are divided. `fits` limits how many of the folds are used as test fold (default: every one).

    keep_folds: when data change, rows that had a fold keep it; false makes folds anew from the rows alone.
    """

    policy: Policy = "identity"
    identity: Identity = Identity()
    certificate: Literal["enforce", "report"] = "enforce"
    folds: Annotated[int, Field(ge=3, le=20)] = 4
    fits: Annotated[int, Field(ge=1, le=20)] | None = None
    seeds: Annotated[tuple[Seed, ...], Field(strict=False), AfterValidator(_distinct), Field(min_length=1)] = (1,)
    max_removed: Annotated[float, Field(ge=0, le=1)] = 0.3
    keep_folds: bool = True
    parts: Parts = Parts()
    test_files: Files = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.policy == "random" and self.certificate == "enforce":
            msg = (
                'policy "random" cannot keep an identity bound: say certificate = "report" to accept and show the leak'
            )
            raise ValueError(msg)
        if self.fits is not None and self.fits > self.folds:
            msg = f"fits = {self.fits} is more than folds = {self.folds}"
            raise ValueError(msg)
        return self

    @property
    def fit_count(self) -> int:
        """How many (train, validation, test) triples are fitted."""
        return 1 if self.policy == "published" else (self.fits or self.folds)


class Training(_Table):
    """Overrides of the model's own recipe; None keeps what the catalogue says.

    `preset`: "abflow" takes the recipe of the pipeline of that name, under what else is said here.
    """

    preset: Literal["abflow"] | None = None
    method: Literal["last-layers", "full", "lora"] | None = None
    trainable_layers: Annotated[int, Field(ge=0, le=100)] | None = None
    frozen_dropout: bool | None = None
    lora_rank: Annotated[int, Field(ge=1, le=256)] | None = None
    lora_alpha: Annotated[float, Field(gt=0)] | None = None
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    pairing: Literal["as-trained", "separate", "joined"] | None = None
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    patience: Annotated[int, Field(ge=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    warmup_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    max_gradient_norm: Annotated[float, Field(gt=0)] | None = None
    pooling: Literal["mean", "cls"] | None = None
    head: Literal["linear", "dense"] | None = None
    class_weight: Literal["balanced", "none"] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    cpu_precision: Literal["fp32", "bf16"] | None = None

    def overrides(self) -> dict[str, object]:
        """Return only what was set, to be laid over a model's recipe."""
        return {name: value for name, value in self if value is not None and name != "preset"}


class Evaluation(_Table):
    """How scores and intervals are made. `primary_baseline` None takes the task's own."""

    resamples: Annotated[int, Field(ge=100, le=100_000)] = 10_000
    primary_baseline: Baseline | None = None
    control_shuffles: Annotated[int, Field(ge=1, le=100)] = 20


class Candidates(_Table):
    """Unlabelled antibodies to score with the fitted models."""

    files: Files = ()


class Benchmark(_Table):
    """One benchmark.toml. `name` is the folder's name and follows the key grammar."""

    name: Annotated[str, AfterValidator(_named("benchmark"))]
    task: Task
    title: str = ""
    description: str = ""
    chains: Chains = "H"
    models: Annotated[Models, Field(min_length=1)] = ("antiberty",)
    retired: bool = False
    source: Source
    columns: Columns = Columns()
    curation: Curating = Curating()
    split: Split = Split()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    candidates: Candidates = Candidates()

    @field_validator("evaluation")
    @classmethod
    def _baseline_does_the_task(cls, value: Evaluation, info: ValidationInfo) -> Evaluation:
        possible = _BASELINES.get(info.data.get("task", ""), ())
        if value.primary_baseline and possible and value.primary_baseline not in possible:
            msg = f"primary_baseline {value.primary_baseline!r} is not for this task (it has: {', '.join(possible)})"
            raise ValueError(msg)
        return value

    @property
    def label_values(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The values of the label that are positive, and those that are negative (none: every other one)."""
        if self.source.format == "cov-abdab":
            return ("yes",), ("no",)
        return self.columns.positive, self.columns.negative

    @property
    def primary_baseline(self) -> Baseline:
        """The baseline named beforehand that every model is compared with."""
        return self.evaluation.primary_baseline or _BASELINES[self.task][0]

    @property
    def chain_names(self) -> tuple[Literal["vh", "vl"], ...]:
        """The chains a model may see, in the order in which their states are concatenated."""
        return {"H": ("vh",), "L": ("vl",), "HL": ("vh", "vl")}[self.chains]  # type: ignore[return-value]
