from ab_assets.reports.methods import describe, grouped, ordered

TITLES = {"antiberty": "AntiBERTy"}


def test_a_model_arm_is_shown_with_the_models_title():
    method = describe("antiberty frozen-probe", TITLES)
    assert (method.label, method.group, method.arm) == ("AntiBERTy frozen probe", "model", "frozen-probe")


def test_whatever_was_trained_on_shuffled_labels_is_a_control():
    assert describe("antiberty fine-tuned-shuffled", TITLES).label == "AntiBERTy fine-tuned, shuffled labels"
    assert describe("windowed-forest-shuffled", TITLES).group == "control"


def test_a_name_nobody_knows_is_shown_as_it_is():
    assert describe("random-thing", {}).label == "random-thing"


def test_methods_stand_by_group_and_then_by_falling_average_precision(scores):
    names = [method.name for method in ordered(scores, TITLES)]
    assert names[:3] == ["antiberty fine-tuned", "esm2-8m fine-tuned", "antiberty frozen-probe"]
    assert names[3:5] == ["kmer-logistic", "majority"]
    assert all(name.endswith("-shuffled") for name in names[5:])


def test_a_group_without_methods_is_left_out(scores):
    assert list(grouped([describe("majority", {})])) == ["baseline"]
    assert list(grouped(ordered(scores, {}))) == ["model", "baseline", "control"]
