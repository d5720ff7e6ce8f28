"""What a partition will take is what its nearest relation took, and the estimate says which that was."""

from __future__ import annotations

import pytest
from injected_changes import BINDERS, MODELS
from published import publish, publish_all, steps_of, write_benchmark, write_models
from two_versions import OLD, antibodies, write_home

from ab_assets.artifacts.costs import Asked, Meter
from ab_assets.artifacts.store import ArtifactStore, Ref
from ab_assets.estimates import Estimate, Past, duration, total
from ab_assets.plan import plan, question_now

EMBEDDINGS = Ref("embeddings", BINDERS, "one")


@pytest.fixture
def home(tmp_path):
    home = write_home(tmp_path)

    def curate(draft):
        draft.table("antibodies", antibodies(OLD))
        draft.metadata = {"rows": 100}

    publish_all(home, {"curated_dataset": curate}, seconds=2.0)
    return home


def estimates(home, rows=None) -> dict[Ref, Estimate]:
    past = Past.of(home.store.objects())
    return {step.ref: past.estimate(step, rows, home.catalogue()) for step in steps_of(home) if step.reasons}


def stale(home) -> None:
    models = {name: table | {"source.revision": "e" * 40} for name, table in MODELS.items()}
    write_models(home, models)


def test_the_same_partition_says_what_it_took_last(home):
    publish(home, EMBEDDINGS, said="again", seconds=7.0)
    stale(home)
    found = estimates(home)[EMBEDDINGS]
    assert found.seconds == 7.0
    assert "the same partition" in found.basis


def test_time_grows_with_the_rows(home):
    stale(home)
    found = estimates(home, rows=300)[EMBEDDINGS]
    assert found.seconds == pytest.approx(6.0)
    assert "scaled from 100 to 300 rows" in found.basis


def test_a_new_benchmark_takes_what_the_same_model_took_elsewhere(home):
    import shutil

    write_benchmark(home, "other", {})
    shutil.copytree(home.folder(BINDERS), home.folder("other"), dirs_exist_ok=True)
    (home.folder("other") / "antibodies.csv").write_text("something else\n")
    found = estimates(home, rows=50)
    assert found[Ref("embeddings", "other", "one")].seconds == pytest.approx(1.0)
    assert found[Ref("embeddings", "other", "one")].basis.startswith(BINDERS)
    assert found[Ref("raw_dataset", "other")].seconds == 2.0


def test_a_new_model_takes_what_the_model_nearest_in_size_took(home):
    models = {name: dict(table) for name, table in MODELS.items()}
    models["two"]["parameters"] = 900_000
    models["three"] = models["one"] | {"parameters": 1_000_000, "source.revision": "3" * 40}
    write_models(home, models)
    publish(home, Ref("embeddings", BINDERS, "two"), said="slow", seconds=50.0)
    benchmark = home.benchmark(BINDERS).model_copy(update={"models": ("one", "two", "three")})
    steps = {step.ref: step for step in plan([(benchmark, home.folder(BINDERS))], home.catalogue(), home.store)}
    past = Past.of(home.store.objects())
    found = past.estimate(steps[Ref("embeddings", BINDERS, "three")], None, home.catalogue())
    assert found.seconds == 50.0
    assert "model two" in found.basis


def test_of_what_was_never_made_nothing_is_said(tmp_path):
    home = write_home(tmp_path)
    assert {(one.seconds, one.gpu_seconds) for one in estimates(home).values()} == {(None, None)}


def test_what_was_answered_before_is_reused(home):
    source = home.folder(BINDERS) / "antibodies.csv"
    before = source.read_text()
    source.write_text("other\n")
    publish(home, Ref("raw_dataset", BINDERS))
    source.write_text(before)
    found = estimates(home)
    assert found[Ref("raw_dataset", BINDERS)].reused
    assert not found[Ref("curated_dataset", BINDERS)].reused  # what it will read is not known before


def test_gpu_seconds_are_those_that_were_asked_for(home):
    meter = Meter(Asked(gpus=2), read=lambda: [1.0, 1.0])
    with meter:
        store = ArtifactStore(home.store.root, meter)
        with store.draft() as draft:
            draft.document("content", {})
            made = store.publish(draft, EMBEDDINGS, question_now(home, EMBEDDINGS), seconds=30.0)
    store.point(EMBEDDINGS, made)
    stale(home)
    found = estimates(home)
    assert found[EMBEDDINGS].gpu_seconds == 60.0
    assert found[Ref("embeddings", BINDERS, "two")].gpu_seconds is None  # made by nobody who measured
    assert found[Ref("model_metrics", BINDERS, "one")].gpu_seconds == 0  # runs no model


def test_a_sum_says_of_how_many_it_knows_nothing():
    known, unmeasured, unknown = Estimate(3.0, 1.0, ""), Estimate(2.0, None, ""), Estimate(None, None, "")
    assert total([known, unmeasured, unknown]) == (5.0, 1.0, 1, 2)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (0.25, "0.2 s"), (12.3, "12 s"), (90, "1.5 min"), (7200, "2.0 h")]
)
def test_a_duration_is_said_as_a_person_says_it(seconds, words):
    assert duration(seconds) == words
