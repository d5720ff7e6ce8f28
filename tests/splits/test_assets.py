"""The split of a benchmark whose data grow, as a user materializes it."""

from dagster import DagsterInstance, materialize
from tests_support import antibody_rows, write_csv, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.datasets.assets import curated_dataset, raw_dataset
from ab_assets.home import Home
from ab_assets.progress import silent
from ab_assets.splits.assets import similarity_graph, split
from jobs.launching import register
from resources.compute import ReportingTo
from resources.home import HomeResource


def made(home, instance, *, force=False):
    """Materialize the benchmark up to its split; return that and {row_id: fold}."""
    resources = {"home": HomeResource(root=str(home.root)), "reporting": ReportingTo(silent)}
    assets = [raw_dataset, curated_dataset, similarity_graph, split]
    config = {"ops": {one.key.path[-1]: {"config": {"force": force}} for one in assets}}
    done = materialize(assets, instance=instance, partition_key="growing", resources=resources, run_config=config)
    assert done.success
    shown = home.store.require(Ref("split", "growing"))
    return shown, dict(shown.table("roles").select("row_id", "fold").unique().iter_rows())


def test_appended_rows_keep_earlier_folds_and_taking_them_back_gives_the_first_split_again(tmp_path):
    home = Home(tmp_path)
    folder = write_specificity(home.folder("growing"), count=60)
    with DagsterInstance.ephemeral() as instance:
        register(instance, ["growing"])
        first, before = made(home, instance)
        write_csv(folder / "antibodies.csv", antibody_rows(90))
        grown, after = made(home, instance)
        write_csv(folder / "antibodies.csv", antibody_rows(60))
        again, _ = made(home, instance)
    assert len(after) > len(before) > 0
    assert {row: after[row] for row in before} == before
    assert grown.metadata["kept_their_fold"] == len(before)
    assert grown.document("certificate")["passed"]
    assert again.digest == first.digest


def test_a_damaged_split_is_made_again(tmp_path):
    home = Home(tmp_path)
    write_specificity(home.folder("growing"), count=60)
    with DagsterInstance.ephemeral() as instance:
        register(instance, ["growing"])
        first, before = made(home, instance)
        file = first.folder / "roles.parquet"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)
        again, after = made(home, instance, force=True)
    assert after == before
    assert again.digest == first.digest
