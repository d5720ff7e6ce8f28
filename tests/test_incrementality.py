"""Rows are items: one more antibody is one more pass, and only a label makes anything learn."""

from __future__ import annotations

import pytest
from tests_support import SPECIFICITY, TWINS, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.commands.intake import add_benchmark
from ab_assets.commands.rounds import materialize_benchmark
from ab_assets.graph import PRODUCTS
from ab_assets.home import Home

NAME, MODEL = "many-rows", "twin-bert"
ROWS = 300
CHECKPOINTS = ("fine_tuned_checkpoint", "shuffled_label_checkpoint")


def with_row(file, label: str, *, index: int) -> None:
    """Append an antibody like the first, with another CDR-H3 of its own."""
    head, first, *rest = file.read_text().splitlines()
    _, heavy, light, cdrh3, _ = first.split(",")
    loop = "AR" + "GYWDSNPTHKLVFI"[index : index + 6] * 2 + "DY"
    added = ",".join([f"new{index}", heavy.replace(cdrh3, loop), light, loop, label])
    file.write_text("\n".join([head, first, *rest, added]) + "\n")


def counters(home: Home) -> dict[str, dict]:
    """Return what each partition of the model says that it took, as it was made last."""
    names = (*PRODUCTS, "candidate_predictions")
    shown = {name: home.store.current(Ref(name, NAME, MODEL)) for name in names}
    return {name: dict(artifact.metadata) for name, artifact in shown.items() if artifact is not None}


def passes(counted: dict[str, dict]) -> int:
    return sum(one["trunk_passes"] for one in counted.values())


@pytest.mark.long
def test_one_more_row_costs_one_pass_and_only_a_label_trains(tmp_path):
    home = Home(tmp_path / "home")
    (home.root / "models").mkdir(parents=True)
    (home.root / "models" / "twins.toml").write_text(TWINS)
    toml = SPECIFICITY.replace('["twin-bert", "twin-esm"]', '["twin-bert"]').replace("fits = 1\n", "")
    toml = toml.replace("[evaluation]", "[evaluation]\ncontrol_shuffles = 1")
    given = write_specificity(tmp_path / NAME, count=ROWS, toml=toml)
    add_benchmark(given, home)
    materialize_benchmark(home, NAME)
    first = counters(home)
    rows = home.store.require(Ref("curated_dataset", NAME)).table("antibodies").height
    assert passes(first) == rows == ROWS
    digests = [home.store.require(Ref(name, NAME, MODEL)).digest for name in CHECKPOINTS]

    with_row(given / "antibodies.csv", "", index=0)
    add_benchmark(given, home, replace=True)
    materialize_benchmark(home, NAME)
    unlabelled = counters(home)
    assert passes(unlabelled) == 1
    assert unlabelled["candidate_predictions"]["trunk_passes"] == 1
    assert unlabelled["candidate_predictions"]["candidates"] == 1
    assert [unlabelled[name]["fits_made"] for name in CHECKPOINTS] == [0, 0]
    assert not unlabelled["predictions"]["probes_fitted"]
    assert [home.store.require(Ref(name, NAME, MODEL)).digest for name in CHECKPOINTS] == digests

    with_row(given / "antibodies.csv", "yes", index=3)
    add_benchmark(given, home, replace=True)
    materialize_benchmark(home, NAME)
    labelled = counters(home)
    assert passes(labelled) == 1
    assert labelled["embeddings"]["processed"] == 1
    assert [labelled[name]["fits_made"] for name in CHECKPOINTS] == [2, 2]  # it tests in the third
    assert labelled["candidate_predictions"]["candidates"] == 1
