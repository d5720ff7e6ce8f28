"""What is stale, and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests_support import SPECIFICITY, write_paratope, write_specificity

from ab_assets.artifacts.store import Ref
from ab_assets.errors import MissingArtifactError
from ab_assets.graph import NODES
from ab_assets.home import Home
from ab_assets.models.catalogue import load_catalogue
from ab_assets.plan import plan, question_now

ONE = """
[model-{n:02d}]
title = "Model {n}"
family = "bert"
parameters = 1000
licence = "Apache-2.0"
max_length = 254
source = {{ kind = "twin", layers = 2, hidden = 32, seed = {n} }}
"""

# per benchmark: raw, curated, graph, split, shuffled split, baselines, leak ladder, metric table, report
PER_BENCHMARK = 9
# per model: embeddings, two checkpoints, predictions, attention, metrics
PER_MODEL = 6


@pytest.fixture
def eleven(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.toml").write_text("".join(ONE.format(n=n) for n in range(11)))
    names = ", ".join(f'"model-{n:02d}"' for n in range(11))
    for task, write in (("specificity", write_specificity), ("paratope", write_paratope)):
        for arm in ("identity", "random"):
            folder = write(home.folder(f"{task}-{arm}"), count=12)
            text = (folder / "benchmark.toml").read_text()
            text = text.replace('models = ["twin-bert", "twin-esm"]', f"models = [{names}]")
            text = text.replace('models = ["twin-bert"]', f"models = [{names}]")
            if arm == "random":
                text = text.replace("[split]", '[split]\npolicy = "random"\ncertificate = "report"')
            (folder / "benchmark.toml").write_text(text)
    return home


def steps_of(home: Home, name: str | None = None):
    benchmarks = [home.benchmark(name)] if name else home.benchmarks()
    return plan([(one, home.folder(one.name)) for one in benchmarks], load_catalogue(home.root / "models"), home.store)


def test_eleven_models_two_tasks_two_arms_are_counted_and_each_says_why(eleven):
    steps = steps_of(eleven)
    assert len(steps) == 4 * (PER_BENCHMARK + 11 * PER_MODEL)
    assert all(step.status == "new" and "not made yet" in step.reasons for step in steps)


def test_after_a_round_everything_is_fresh(made):
    assert {step.status for step in steps_of(made, "tiny-specificity")} == {"fresh"}


def test_a_changed_recipe_touches_training_and_what_follows_only(made):
    toml = made.folder("tiny-specificity") / "benchmark.toml"
    before = toml.read_text()
    try:
        toml.write_text(before + "\n[training]\nepochs = 3\n")
        stale = {step.ref.asset: step.reasons for step in steps_of(made, "tiny-specificity") if step.reasons}
    finally:
        toml.write_text(before)
    assert "split" not in stale
    assert "embeddings" not in stale
    assert any("parameter recipe.epochs changed: 2 -> 3" in reason for reason in stale["fine_tuned_checkpoint"])
    assert {"predictions", "model_metrics", "metric_table", "report"} <= set(stale)


def test_a_comment_in_the_toml_changes_nothing(made):
    toml = made.folder("tiny-specificity") / "benchmark.toml"
    before = toml.read_text()
    try:
        toml.write_text("# a remark\n" + before)
        assert {step.status for step in steps_of(made, "tiny-specificity")} == {"fresh"}
    finally:
        toml.write_text(before)


def test_a_changed_file_is_named(made):
    file = made.folder("tiny-paratope") / "chains.csv"
    before = file.read_text()
    try:
        file.write_text(before.replace("ab000", "ab999"))
        raw = next(step for step in steps_of(made, "tiny-paratope") if step.ref.asset == "raw_dataset")
    finally:
        file.write_text(before)
    assert raw.reasons == ("input chains.csv changed",)


def test_two_benchmarks_over_one_file_share_the_curated_data(made, tmp_path):
    twin = made.folder("tiny-pairs")
    shutil.copytree(made.folder("tiny-specificity"), twin)
    (twin / "benchmark.toml").write_text(SPECIFICITY.replace('chains = "H"', 'chains = "HL"'))
    from ab_assets.definitions import defs
    from ab_assets.progress import silent
    from jobs.launching import open_instance, register, run_job

    with open_instance(made) as instance:
        register(instance, ["tiny-pairs"])
        result = run_job(defs, instance, made, "prepare", "tiny-pairs", progress=silent)
    shutil.rmtree(twin)
    assert {"raw_dataset", "curated_dataset"} <= {item.asset for item in result.made if item.reused}


def test_a_model_that_is_not_in_the_catalogue_is_a_reason_and_stops_nothing_else(made):
    toml = made.folder("tiny-specificity") / "benchmark.toml"
    before = toml.read_text()
    try:
        toml.write_text(before.replace('"twin-esm"]', '"twin-esm", "no-such-model"]'))
        stale = {
            (step.ref.asset, step.ref.model): step.reasons
            for step in steps_of(made, "tiny-specificity")
            if step.reasons
        }
    finally:
        toml.write_text(before)
    assert stale["predictions", "no-such-model"] == ("there is no model 'no-such-model' in the catalogue",)
    assert {model for _, model in stale} == {"no-such-model", None}
    assert {asset for asset, model in stale if model is None} == {"metric_table", "report"}


def test_what_a_run_would_ask_is_what_the_run_asks(eleven, made):
    for home, name in ((made, "tiny-specificity"), (made, "tiny-paratope"), (eleven, "paratope-random")):
        for step in steps_of(home, name):
            try:
                asked = question_now(home, step.ref).fingerprint
            except MissingArtifactError:
                continue
            assert step.asked == asked
            assert step.answered == (not step.reasons)


def test_what_a_job_has_made_of_its_own_changes_nothing_of_what_it_was_posed(made):
    def posed():
        return {step.ref: (step.posed, step.asked) for step in steps_of(made, "tiny-specificity")}

    before = posed()
    for asset in ("curated_dataset", "fine_tuned_checkpoint", "predictions", "metric_table"):
        job, pointers = NODES[asset].job, made.store.root / "current" / asset
        away = pointers.rename(made.store.root / "away")
        try:
            after = posed()
        finally:
            away.rename(pointers)
        ours = [ref for ref in before if NODES[ref.asset].job == job]
        assert [before[ref][0] for ref in ours] == [after[ref][0] for ref in ours]
        assert [before[ref][1] for ref in ours] != [after[ref][1] for ref in ours]


def test_a_report_without_the_model_that_is_stale_is_stale_and_answered(made):
    """A model's metrics go and a report is made without it: until the model is back no run makes another report."""
    pointer = made.store.root / "current" / "model_metrics" / "tiny-specificity" / "twin-esm.json"
    shown = {name: made.store.current(Ref(name, "tiny-specificity")) for name in ("metric_table", "report")}
    away = pointer.rename(pointer.with_suffix(".away"))
    from ab_assets.definitions import defs
    from ab_assets.progress import silent
    from jobs.launching import open_instance, run_job

    try:
        before = {step.ref.asset: step for step in steps_of(made, "tiny-specificity")}
        with open_instance(made) as instance:
            run_job(defs, instance, made, "report", "tiny-specificity", progress=silent)
        after = {step.ref.asset: step for step in steps_of(made, "tiny-specificity")}
    finally:
        away.rename(pointer)
        for name, artifact in shown.items():
            made.store.point(Ref(name, "tiny-specificity"), artifact)
    assert (before["metric_table"].status, before["metric_table"].answered) == ("stale", False)
    assert [(after[name].status, after[name].answered) for name in shown] == [("stale", True)] * 2


def test_the_digest_of_a_file_is_asked_of_whom_the_caller_names(made):
    asked = []
    steps = plan(
        [(made.benchmark("tiny-paratope"), made.folder("tiny-paratope"))],
        load_catalogue(made.root / "models"),
        made.store,
        digest=lambda path: asked.append(path.name) or "0" * 64,
    )
    assert asked == ["chains.csv"]
    assert "raw_dataset" in {step.ref.asset for step in steps if step.reasons}


def test_a_manifest_that_cannot_be_read_is_a_reason_and_the_next_run_mends_it(tmp_path):
    from injected_changes import BINDERS
    from published import publish, publish_all
    from two_versions import write_home

    home = write_home(tmp_path)
    publish_all(home)
    raw = Ref("raw_dataset", BINDERS)
    (home.store.require(raw).folder / "manifest.json").write_text("{}")
    before = {step.ref.asset: step for step in steps_of(home)}
    assert (before["raw_dataset"].status, before["raw_dataset"].answered) == ("stale", False)
    assert before["raw_dataset"].reasons[0].startswith("cannot be read")
    assert before["curated_dataset"].reasons == (f"{raw} is stale",)
    publish(home, raw)
    assert {step.status for step in steps_of(home)} == {"fresh"}
