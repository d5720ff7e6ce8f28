"""The columns of every table that crosses from one stage to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ab_assets.errors import CorruptArtifactError

if TYPE_CHECKING:
    from polars.datatypes import DataTypeClass


def _schema(**columns: pl.DataType | DataTypeClass) -> pl.Schema:
    return pl.Schema(columns)


# One row per antibody, for both tasks. `row_id`: first 16 hex digits of a sha256 over what makes the row distinct.
# vh, vl: amino acids, upper case, null where absent. *_positions: IMGT position of each residue ("111A"), null where
# not known. cdrh3: IMGT 105-117 without gaps (cdr3_aa in AIRR). label: binds or not; null = unlabelled.
# *_paratope: one bool per residue, null where the task has none. subject_id, entry: groups that may not straddle a
# split (donor; PDB entry). part: "train" | "validation" | "test" of a published split, or "test" for test_files.
# sources: "file:row" of every source row that was merged into this one; rows count from 1 without the header.
# annotations: JSON text {column: value} of the columns that [columns] keep names; "|" between values of merged rows.
CURATED = _schema(
    row_id=pl.String,
    sequence_id=pl.String,
    vh=pl.String,
    vl=pl.String,
    vh_positions=pl.List(pl.String),
    vl_positions=pl.List(pl.String),
    cdrh3=pl.String,
    label=pl.Boolean,
    vh_paratope=pl.List(pl.Boolean),
    vl_paratope=pl.List(pl.Boolean),
    subject_id=pl.String,
    entry=pl.String,
    part=pl.String,
    date=pl.String,
    v_call=pl.String,
    j_call=pl.String,
    sources=pl.List(pl.String),
    annotations=pl.String,
)

# What `date` looks like where rows are put in order by it: ISO 8601, as precise as is known.
DATE = r"^\d{4}(-\d{2}(-\d{2})?)?$"

# Source rows that were not kept, and why. One row per source row.
REJECTED = _schema(
    file=pl.String,
    row=pl.Int64,
    column=pl.String,
    value=pl.String,
    reason=pl.String,
    detail=pl.String,
)

# Undirected edges between rows at or above a declared bound; left < right. by: "vh" | "vl" | "cdrh3".
EDGES = _schema(left=pl.String, right=pl.String, by=pl.String, identity=pl.Float64)

# Which similarity component and which MMseqs2 cluster a row belongs to (`cluster` is the unit of resampling).
NODES = _schema(row_id=pl.String, component=pl.Int64, cluster=pl.String)

# Rows that take part in no fit, and why: "no-vh", "no-vl", "unlabelled", "duplicate-chains", "conflicting-labels",
# "removed_to_separate", "guard-band".
REMOVED = _schema(row_id=pl.String, reason=pl.String, detail=pl.String)

# Who does what in which fit. role: "train" | "validation" | "test". fold is the row's home fold (-1: test file).
ROLES = _schema(fit=pl.Int64, row_id=pl.String, role=pl.String, fold=pl.Int64)

# For every test and validation row of every fit, the nearest training row by each measure. identity is exact.
NEAREST = _schema(
    fit=pl.Int64,
    row_id=pl.String,
    role=pl.String,
    by=pl.String,
    identity=pl.Float64,
    nearest_row_id=pl.String,
)

# The labels a control is trained on, for training and validation rows of each fit; test rows keep the true ones.
# shuffle: 0 is what every method learns from; methods that train in seconds learn from the others too.
SHUFFLED_LABELS = _schema(
    shuffle=pl.Int64,
    fit=pl.Int64,
    row_id=pl.String,
    label=pl.Boolean,
    vh_paratope=pl.List(pl.Boolean),
    vl_paratope=pl.List(pl.Boolean),
)

# One score per antibody (antigen-specificity: chain and residue are null) or per residue (paratope: chain "vh" | "vl",
# residue counts from 0, position is IMGT or null). label is always the true one. score: probability of the positive
# class, null where the model could not see the residue (truncated). role: "validation" | "test".
PREDICTIONS = _schema(
    method=pl.String,
    fit=pl.Int64,
    seed=pl.Int64,
    role=pl.String,
    row_id=pl.String,
    chain=pl.String,
    residue=pl.Int64,
    position=pl.String,
    label=pl.Boolean,
    score=pl.Float64,
)

# The decision threshold of each fit: maximum MCC on its validation rows. A call is positive when score >= threshold.
THRESHOLDS = _schema(method=pl.String, fit=pl.Int64, seed=pl.Int64, threshold=pl.Float64, mcc=pl.Float64)

# Long-form scores. metric: "ap" | "auroc" | "mcc" | "f1" | "precision" | "recall" | "specificity" | "fpr" |
# "balanced_accuracy" | "brier" | "ece" | "prevalence". view: "all", and for paratopes "per-chain", "region:cdr3"...,
# "chain:vh". value: mean over fits and seeds; low, high: 95 % interval over resampled clusters; null with a reason
# where undefined.
SCORES = _schema(
    method=pl.String,
    metric=pl.String,
    view=pl.String,
    value=pl.Float64,
    low=pl.Float64,
    high=pl.Float64,
    fold_spread=pl.Float64,
    seed_spread=pl.Float64,
    positives=pl.Int64,
    negatives=pl.Int64,
    clusters=pl.Int64,
    reason=pl.String,
)

# Paired differences, method minus reference, on the same resamples. family: "primary" (simultaneous max-T
# interval) | "exploratory" (pointwise).
COMPARISONS = _schema(
    method=pl.String,
    reference=pl.String,
    metric=pl.String,
    difference=pl.Float64,
    low=pl.Float64,
    high=pl.Float64,
    family=pl.String,
)

# The leak ladder. value, low, high: as in SCORES; difference: to the certified rung, on the same resamples.
LADDER = _schema(
    rung=pl.String,
    method=pl.String,
    metric=pl.String,
    value=pl.Float64,
    low=pl.Float64,
    high=pl.Float64,
    difference=pl.Float64,
    difference_low=pl.Float64,
    difference_high=pl.Float64,
)

# How similar the sides of each rung are by each measure. identity: largest of any test row to a training row of its
# fit, exact; over: test rows at or above the bound, null without one; trained: training rows of the smallest fit.
RUNGS = _schema(
    rung=pl.String,
    by=pl.String,
    bound=pl.Float64,
    identity=pl.Float64,
    over=pl.Int64,
    tested=pl.Int64,
    trained=pl.Int64,
)

# Mean attention that a residue position receives. model_state: "pre-trained" | "fine-tuned". layer counts from 0.
ATTENTION = _schema(
    model_state=pl.String,
    layer=pl.Int64,
    chain=pl.String,
    position=pl.String,
    attention=pl.Float64,
    antibodies=pl.Int64,
)

# Scores of unlabelled antibodies. nearest_identity: VH identity (VL where there is no VH) to the nearest training row.
CANDIDATES = _schema(
    sequence_id=pl.String,
    vh=pl.String,
    vl=pl.String,
    probability=pl.Float64,
    call=pl.Boolean,
    threshold=pl.Float64,
    nearest_identity=pl.Float64,
    nearest_row_id=pl.String,
    out_of_domain=pl.Boolean,
    vh_probabilities=pl.List(pl.Float64),
    vl_probabilities=pl.List(pl.Float64),
)


def conform(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return `frame` with exactly the columns and types of `schema`, in its order; absent columns become null.

    Raises CorruptArtifactError when the frame has a column that the schema does not know, or a value that the type of
    its column cannot hold.
    """
    if not frame.columns:
        return schema.to_frame()
    unknown = [name for name in frame.columns if name not in schema]
    if unknown:
        raise CorruptArtifactError(what="table has columns its schema does not know", found=", ".join(unknown))
    columns = [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in schema.items()
    ]
    try:
        conformed = frame.select(columns)
    except pl.exceptions.PolarsError as error:
        what = f"table has values its schema does not allow: {str(error).splitlines()[0]}"
        raise CorruptArtifactError(what=what) from error
    for name in frame.columns:
        if frame.schema[name].is_float() and schema[name].is_integer():
            lost = frame[name].filter(conformed[name].cast(frame.schema[name]).ne_missing(frame[name]))
            if len(lost):
                raise CorruptArtifactError(what=f"column {name} holds whole numbers", found=str(lost[0]))
    return conformed
