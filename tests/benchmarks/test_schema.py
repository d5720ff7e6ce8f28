"""What a benchmark may say, what it means when it says nothing, and what is refused."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from ab_assets.benchmarks.schema import Benchmark


def benchmark(**parts):
    return Benchmark.model_validate(
        {"name": "covid", "task": "antigen-specificity", "source": {"files": ["a.csv"]}} | parts
    )


def test_what_is_not_said_has_the_default_of_the_protocol():
    split = benchmark().split
    assert (split.policy, split.certificate, split.folds, split.seeds, split.max_removed) == (
        "identity",
        "enforce",
        4,
        (1,),
        0.3,
    )
    assert split.identity.model_dump() == {"vh": 0.9, "cdrh3": 0.8, "vl": None}


def test_random_policy_demands_the_report_of_its_leak():
    with pytest.raises(ValidationError, match='say certificate = "report"'):
        benchmark(split={"policy": "random"})
    assert benchmark(split={"policy": "random", "certificate": "report"}).split.certificate == "report"


@pytest.mark.parametrize("policy", ["identity", "group", "time"])
def test_other_policies_are_certified_unless_waived(policy):
    assert benchmark(split={"policy": policy}).split.certificate == "enforce"


@pytest.mark.parametrize(
    "parts",
    [
        {"task": "affinity"},
        {"chains": "LH"},
        {"models": []},
        {"source": {"files": []}},
        {"source": {"files": ["a.csv"], "format": "xlsx"}},
        {"source": {"files": ["a.csv"], "download": [{"file": "a.csv", "sha256": "0f"}]}},
        {"split": {"folds": 2}},
        {"split": {"folds": 21}},
        {"split": {"fits": 0}},
        {"split": {"seeds": []}},
        {"split": {"seeds": [-1]}},
        {"split": {"identity": {"vh": 0}}},
        {"split": {"identity": {"vh": 1.01}}},
        {"split": {"identity": {"vh": float("nan")}}},
        {"split": {"max_removed": 1.1}},
        {"split": {"policy": "stratified"}},
        {"split": {"certificate": "ignore"}},
        {"training": {"learning_rate": 0}},
        {"training": {"epochs": 0}},
        {"training": {"epochs": 1.5}},
        {"training": {"pooling": "max"}},
        {"evaluation": {"resamples": 99}},
        {"evaluation": {"primary_baseline": "majority"}},
        {"columns": {"positive": "1"}},
    ],
)
def test_values_outside_the_protocol_are_refused(parts):
    with pytest.raises(ValidationError):
        benchmark(**parts)


@pytest.mark.parametrize("table", ["source", "columns", "split", "training", "evaluation", "candidates"])
def test_unknown_keys_are_refused_in_every_table(table):
    values = {"files": ["a.csv"]} if table == "source" else {}
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        benchmark(**{table: values | {"colour": 1}})


@pytest.mark.parametrize("name", ["../x", "a/b", "Covid", "", "a" * 64])
def test_a_benchmark_is_named_by_the_key_grammar(name):
    with pytest.raises(ValidationError, match="is no benchmark name"):
        benchmark(name=name)


def test_more_fits_than_folds_are_refused():
    with pytest.raises(ValidationError, match="fits = 5 is more than folds = 4"):
        benchmark(split={"fits": 5})


@pytest.mark.parametrize(
    ("split", "count"),
    [
        ({}, 4),
        ({"folds": 7}, 7),
        ({"folds": 7, "fits": 2}, 2),
        ({"folds": 3, "fits": 3}, 3),
        ({"policy": "published", "certificate": "report"}, 1),
    ],
)
def test_every_fold_is_tested_once_unless_fits_or_a_published_split_say_otherwise(split, count):
    assert benchmark(split=split).split.fit_count == count


@pytest.mark.parametrize(("chains", "names"), [("H", ("vh",)), ("L", ("vl",)), ("HL", ("vh", "vl"))])
def test_chains_are_concatenated_heavy_first(chains, names):
    assert benchmark(chains=chains).chain_names == names


@pytest.mark.parametrize(
    ("task", "baseline"), [("antigen-specificity", "kmer-logistic"), ("paratope", "windowed-forest")]
)
def test_each_task_has_its_own_primary_baseline(task, baseline):
    assert benchmark(task=task).primary_baseline == baseline


def test_a_primary_baseline_named_beforehand_is_taken():
    assert benchmark(evaluation={"primary_baseline": "nearest-neighbour"}).primary_baseline == "nearest-neighbour"


def test_a_bound_switched_off_is_reported_not_gated():
    assert benchmark(split={"identity": {"cdrh3": None}}).split.identity.cdrh3 is None


def test_labels_written_as_numbers_are_text():
    columns = benchmark(columns={"positive": [1], "negative": [0, "no"]}).columns
    assert (columns.positive, columns.negative) == (("1",), ("0", "no"))


def test_only_what_is_set_overrides_a_recipe():
    assert benchmark().training.overrides() == {}
    assert benchmark(training={"weight_decay": 0, "epochs": 2}).training.overrides() == {"weight_decay": 0, "epochs": 2}


def test_a_benchmark_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        benchmark().title = "other"


def test_a_benchmark_written_as_json_reads_back_as_itself():
    original = benchmark(
        chains="HL", split={"folds": 5, "seeds": [1, 2], "identity": {"vl": 0.9}}, columns={"positive": ["1"]}
    )
    assert Benchmark.model_validate(json.loads(original.model_dump_json())) == original


@pytest.mark.parametrize("field", ["files", "test_files", "parts", "candidates", "download"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../other/secret.csv", "a/../../x.csv", "", "a\\b.csv", "x.csv\x00"])
def test_files_of_a_benchmark_lie_in_its_folder(field, path):
    parts = {
        "files": {"source": {"files": [path]}},
        "download": {"source": {"files": ["a.csv"], "download": [{"file": path, "sha256": "0" * 64}]}},
        "test_files": {"split": {"test_files": [path]}},
        "parts": {"split": {"parts": {"test": [path]}}},
        "candidates": {"candidates": {"files": [path]}},
    }
    with pytest.raises(ValidationError, match="is no file of the benchmark's folder"):
        benchmark(**parts[field])


@pytest.mark.parametrize(
    "parts",
    [
        {"models": ["antiberty", "antiberty"]},
        {"split": {"seeds": [1, 1]}},
        {"source": {"files": ["a.csv", "a.csv"]}},
        {"candidates": {"files": ["a.csv", "b.csv", "a.csv"]}},
    ],
)
def test_what_is_listed_twice_is_refused(parts):
    with pytest.raises(ValidationError, match="is listed twice"):
        benchmark(**parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"split": {"folds": "4"}},
        {"split": {"folds": True}},
        {"split": {"seeds": [True]}},
        {"split": {"max_removed": True}},
        {"split": {"identity": {"vh": True}}},
        {"retired": 1},
        {"title": 1},
    ],
)
def test_values_of_another_type_are_refused_not_converted(parts):
    with pytest.raises(ValidationError) as caught:
        benchmark(**parts)
    assert len(caught.value.errors()) == 1


def test_a_model_is_named_by_the_key_grammar():
    with pytest.raises(ValidationError, match=r"'\.\./x' is no model name"):
        benchmark(models=["../x"])


@pytest.mark.parametrize(
    ("task", "baseline"), [("antigen-specificity", "windowed-forest"), ("paratope", "kmer-logistic")]
)
def test_a_primary_baseline_belongs_to_the_task(task, baseline):
    with pytest.raises(ValidationError, match="is not for this task"):
        benchmark(task=task, evaluation={"primary_baseline": baseline})


def test_labels_written_as_truth_values_are_written_as_in_toml():
    columns = benchmark(columns={"positive": [True], "negative": [False]}).columns
    assert (columns.positive, columns.negative) == (("true",), ("false",))
