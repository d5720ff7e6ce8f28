"""After Dagster's database is lost the store says everything again: all of it, once, and nothing as stale."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from dagster import AssetCheckKey, AssetKey, AssetObservation, AssetRecordsFilter, DagsterInstance
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.loader import LoadingContextForTest

from ab_assets.artifacts.code_version import code_of
from ab_assets.artifacts.fingerprint import Question
from ab_assets.artifacts.store import Ref
from ab_assets.definitions import defs
from ab_assets.graph import NODES
from ab_assets.home import Home
from ab_assets.partitions import BENCHMARK, grid_key
from ab_assets.plan import input_name
from ab_assets.progress import silent
from jobs.launching import open_instance, run_job
from jobs.rebuilding import RESTORED, rebuild_catalogue

BENCHMARKS = 60
STUBS = ("raw_dataset", "similarity_graph", "shuffled_label_split", "embeddings", "predictions")
MODEL = "twin-bert"


def key_of(ref):
    return ref.benchmark if ref.model is None else grid_key(ref.benchmark, ref.model)


def materializations(instance):
    """Return {(asset, partition): how often Dagster was told of it}."""
    told = Counter()
    for asset in NODES:
        cursor, more = None, True
        while more:
            page = instance.fetch_materializations(AssetKey(asset), limit=1000, cursor=cursor)
            told.update((asset, record.partition_key) for record in page.records)
            cursor, more = page.cursor, page.has_more
    return told


def statuses(instance, refs):
    resolver = CachingStaleStatusResolver(instance, defs.resolve_asset_graph(), LoadingContextForTest(instance))
    return {ref: resolver.get_status(AssetKey(ref.asset), key_of(ref)) for ref in refs}


def stub(store, ref, content="", **code):
    """Publish a line of JSON as this partition, asked with what its inputs show, by today's code unless said."""
    node = NODES[ref.asset]
    inputs = {}
    for name in node.inputs:
        source = Ref(name, ref.benchmark, ref.model if NODES[name].per_model else None)
        if (shown := store.current(source)) is not None:
            inputs[input_name(source, node)] = shown.digest
    question = Question(ref.asset, inputs, {"of": ref.benchmark}, {"name": ref.model or ""}, code or code_of(node.code))
    with store.draft() as draft:
        draft.document("content", {"of": str(ref), "content": content})
        draft.metadata = {"rows": 1}
        store.point(ref, store.publish(draft, ref, question, seconds=0.0))


@pytest.fixture
def stubs(tmp_path):
    home = Home(tmp_path / "home")
    refs = [
        Ref(asset, f"stub-{number:03d}", MODEL if NODES[asset].per_model else None)
        for number in range(BENCHMARKS)
        for asset in STUBS
    ]
    for ref in refs:
        stub(home.store, ref)
    return home, refs


@pytest.fixture(autouse=True)
def _real_or_stub(request, monkeypatch):
    """Stubs hold nothing that could be shown or checked."""
    if "made" not in request.fixturenames:
        monkeypatch.setattr("jobs.rebuilding._SHOWN", {})
        monkeypatch.setattr("jobs.rebuilding._CHECKED", {})


def test_three_hundred_partitions_come_back_once_whatever_is_lost_and_however_often_it_is_run(stubs):
    home, refs = stubs
    assert len(refs) == 300
    before = {path: path.stat().st_mtime_ns for path in (home.root / "store").rglob("*") if path.is_file()}
    for _ in range(2):
        shutil.rmtree(home.dagster, ignore_errors=True)
        with open_instance(home) as instance:
            first = rebuild_catalogue(home, instance, silent)
            assert (len(first.restored), first.known, first.left_out, first.damaged) == (300, 0, (), ())
            told = materializations(instance)
            assert told == {(ref.asset, key_of(ref)): 1 for ref in refs}
            again = rebuild_catalogue(home, instance, silent)
            assert (again.restored, again.known) == ((), 300)
            assert materializations(instance) == told
            assert set(instance.get_dynamic_partitions(BENCHMARK)) == {ref.benchmark for ref in refs}
            assert set(statuses(instance, refs).values()) == {StaleStatus.FRESH}
            assert instance.get_runs_count() == 0
    assert {path: path.stat().st_mtime_ns for path in (home.root / "store").rglob("*") if path.is_file()} == before


def test_an_interrupted_rebuild_is_gone_on_with(tmp_path, monkeypatch):
    home = Home(tmp_path / "home")
    refs = [Ref("raw_dataset", name) for name in ("a", "b", "c")] + [Ref("curated_dataset", "a")]
    for ref in refs:
        stub(home.store, ref)

    def killed(_message, done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with open_instance(home) as instance:
        with pytest.raises(KeyboardInterrupt):
            rebuild_catalogue(home, instance, killed)
        done = rebuild_catalogue(home, instance, silent)
        assert (len(done.restored), done.known) == (2, 2)
        assert set(materializations(instance).values()) == {1}
        assert set(statuses(instance, refs).values()) == {StaleStatus.FRESH}


def test_what_was_stale_is_stale_and_says_why(tmp_path):
    home = Home(tmp_path / "home")
    raw, curated, graph = (Ref(name, "a") for name in ("raw_dataset", "curated_dataset", "similarity_graph"))
    stub(home.store, raw)
    stub(home.store, curated)
    stub(home.store, graph, **{"ab_assets.splits.graph": "as it was before"})
    stub(home.store, raw, content="came later")
    with open_instance(home) as instance:
        rebuild_catalogue(home, instance, silent)
        assert list(statuses(instance, [raw, curated, graph]).values()) == [
            StaleStatus.FRESH, StaleStatus.STALE, StaleStatus.STALE,
        ]  # fmt: skip
        resolver = CachingStaleStatusResolver(instance, defs.resolve_asset_graph(), LoadingContextForTest(instance))
        assert [cause.reason for cause in resolver.get_stale_causes(AssetKey("curated_dataset"), "a")] == [
            "has a new dependency data version"
        ]
        assert "has a new code version" in [
            cause.reason for cause in resolver.get_stale_causes(AssetKey("similarity_graph"), "a")
        ]


def test_what_is_told_of_a_removed_folder_makes_nothing_stale_and_its_partition_stays(tmp_path):
    home, refs = Home(tmp_path / "home"), [Ref("raw_dataset", "a"), Ref("curated_dataset", "a")]
    for ref in refs:
        stub(home.store, ref)
    with open_instance(home) as instance:
        rebuild_catalogue(home, instance, silent)
        instance.report_runless_asset_event(AssetObservation("raw_dataset", partition="a", description="retired"))
        assert set(statuses(instance, refs).values()) == {StaleStatus.FRESH}
        assert rebuild_catalogue(home, instance, silent).known == 2
        assert instance.get_dynamic_partitions(BENCHMARK) == ["a"]


def test_content_that_dagster_shows_in_another_version_is_reported_again(tmp_path):
    home = Home(tmp_path / "home")
    stub(home.store, Ref("raw_dataset", "a"))
    with open_instance(home) as instance:
        rebuild_catalogue(home, instance, silent)
        stub(home.store, Ref("raw_dataset", "a"), content="came later")
        assert len(rebuild_catalogue(home, instance, silent).restored) == 1
        assert materializations(instance)["raw_dataset", "a"] == 2


def test_an_event_of_the_same_content_made_by_earlier_code_is_not_taken_for_todays(tmp_path):
    home, ref = Home(tmp_path / "home"), Ref("curated_dataset", "a")
    stub(home.store, ref, **{"ab_assets.datasets.curation": "as it was before"})
    with open_instance(home) as instance:
        rebuild_catalogue(home, instance, silent)
        stub(home.store, ref)
        assert rebuild_catalogue(home, instance, silent).restored == (ref,)
        assert list(statuses(instance, [ref]).values()) == [StaleStatus.FRESH]


def test_what_earlier_code_made_with_other_columns_is_restored_without_what_it_would_show(tmp_path, monkeypatch):
    def without(artifact):
        raise KeyError(artifact.folder.name)

    monkeypatch.setattr("jobs.rebuilding._SHOWN", {"curated_dataset": without})
    monkeypatch.setattr("jobs.rebuilding._CHECKED", {"curated_dataset": without})
    home, ref = Home(tmp_path / "home"), Ref("curated_dataset", "a")
    stub(home.store, ref)
    with open_instance(home) as instance:
        assert rebuild_catalogue(home, instance, silent).restored == (ref,)


def test_names_that_are_no_partitions_are_left_out_and_damage_is_named(tmp_path):
    home = Home(tmp_path / "home")
    for ref in (Ref("raw_dataset", "a"), Ref("embeddings", "a", "gone-model"), Ref("other", "a"), Ref("split", "b")):
        (home.store.root / "current" / ref.asset).mkdir(parents=True, exist_ok=True)
        if ref.asset in NODES:
            stub(home.store, ref)
    (home.store.root / "current" / "other" / "a.json").write_text("{}")
    (home.store.root / "current" / "raw_dataset" / "NO KEY.json").write_text("{}")
    (home.store.root / "current" / "split" / "b.json").write_text("{")
    with open_instance(home) as instance:
        done = rebuild_catalogue(home, instance, silent)
        assert [str(ref) for ref in done.restored] == ["raw_dataset[a]"]
        assert any("gone-model" in line for line in done.left_out)
        assert any("no asset" in line for line in done.left_out)
        assert any(line.startswith("split[b]") for line in done.damaged)


def test_real_results_are_shown_as_before_nothing_is_stale_and_everything_is_reused(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    refs = home.store.partitions()
    with DagsterInstance.from_config(str(home.dagster)) as instance:
        before = {ref: shown(instance, ref) for ref in refs}
        checks = {ref: verdict(instance, ref) for ref in refs if ref.asset in CHECKS}
    shutil.rmtree(home.dagster)
    with open_instance(home) as instance:
        done = rebuild_catalogue(home, instance, silent)
        assert (set(done.restored), done.left_out, done.damaged) == (set(refs), (), ())
        # other tests make some of it again without Dagster
        known = [ref for ref in refs if before[ref][0]["made_at"] == home.store.require(ref).manifest["made"]["at"]]
        assert len(known) >= len(refs) / 2
        for ref in known:
            now, then = shown(instance, ref), before[ref]
            differing = {
                key: (now[0].get(key), then[0].get(key))
                for key in now[0] | then[0]
                if now[0].get(key) != then[0].get(key)
            }
            assert differing == {}, ref
            assert now[1] == then[1], ref
        assert {ref: verdict(instance, ref) for ref in refs if ref.asset in CHECKS} == checks
        assert set(statuses(instance, refs).values()) == {StaleStatus.FRESH}
        assert rebuild_catalogue(home, instance, silent).known == len(refs)
        for job, model in (("prepare", None), ("evaluate", "twin-bert"), ("report", None)):
            result = run_job(defs, instance, home, job, "tiny-specificity", model=model, progress=silent)
            assert result.error is None
            assert all(item.reused for item in result.made if item.compared)


CHECKS = {"curated_dataset": "counts_balance", "split": "no_leakage"}


def shown(instance, ref):
    """Return what the UI shows of a partition's last materialization, apart from how it came about."""
    records = instance.fetch_materializations(
        AssetRecordsFilter(AssetKey(ref.asset), asset_partitions=[key_of(ref)]), limit=1
    ).records
    found = records[0].asset_materialization
    metadata = {
        name: value.value
        for name, value in found.metadata.items()
        if name not in {"reused", "path", "report", "why", "provenance"}
    }
    gathers = ref.asset in {"metric_table", "report"}  # whose runs saw models that are not compared, too
    own = {key: "" if "event_pointer" in key or (gathers and "input_data" in key) else value
           for key, value in found.tags.items() if key != RESTORED}  # fmt: skip
    return metadata, own


def verdict(instance, ref):
    key = AssetCheckKey(AssetKey(ref.asset), CHECKS[ref.asset])
    [record] = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, partition_filter=PartitionKeyFilter(key=ref.benchmark)
    )
    return record.status, record.evaluation.passed if record.evaluation else None
