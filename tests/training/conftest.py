import numpy as np
import polars as pl
import pytest

from ab_assets.models.twins import twin_spec
from ab_assets.tables import CURATED, ROLES, SHUFFLED_LABELS, conform

RESIDUES = list("ACDEFGHIKLMNPQRSTVY")


def _row(index, generator):
    vh = "".join(generator.choice(RESIDUES, size=generator.integers(10, 20)))
    vl = "".join(generator.choice(RESIDUES, size=generator.integers(8, 14)))
    binds = index % 2 == 0
    if binds:
        vh = vh[:4] + "WWW" + vh[7:]
    return {
        "row_id": f"{index:016x}",
        "vh": vh,
        "vl": vl,
        "label": binds,
        "vh_positions": [str(i + 1) for i in range(len(vh))],
        "vl_positions": [str(i + 1) for i in range(len(vl))],
        "vh_paratope": [residue in "WY" for residue in vh],
        "vl_paratope": [residue == "Y" for residue in vl],
    }


@pytest.fixture(scope="session")
def rows():
    """48 antibodies; binders hold WWW in their VH; W and Y are paratope residues."""
    generator = np.random.default_rng(5)
    return conform(pl.DataFrame([_row(i, generator) for i in range(48)], infer_schema_length=None), CURATED)


@pytest.fixture(scope="session")
def roles(rows):
    """Two fits over the same rows: 32 train, 8 validation, 8 test, in opposite order."""
    parts = ["train"] * 32 + ["validation"] * 8 + ["test"] * 8
    ids = rows["row_id"].to_list()
    tables = [
        pl.DataFrame({"fit": [fit] * 48, "row_id": order, "role": parts, "fold": [0] * 48})
        for fit, order in enumerate((ids, ids[::-1]))
    ]
    return conform(pl.concat(tables), ROLES)


@pytest.fixture(scope="session")
def shuffled(rows, roles):
    """Labels of every training and validation row turned round."""
    chosen = roles.filter(pl.col("role") != "test").select("fit", "row_id")
    turned = rows.select(
        "row_id",
        ~pl.col("label"),
        pl.col("vh_paratope").list.eval(~pl.element()),
        pl.col("vl_paratope").list.eval(~pl.element()),
    )
    return conform(chosen.join(turned, on="row_id"), SHUFFLED_LABELS)


@pytest.fixture(params=["bert", "esm"])
def spec(request):
    return twin_spec(request.param, trainable_layers=2, learning_rate=1e-2, epochs=3)
