"""What is asked for, stage by stage, and what is not asked for again."""

from __future__ import annotations

import random

import pytest

from ab_assets.artifacts.store import Ref
from ab_assets.graph import NODES, PRODUCTS
from ab_assets.plan import Step
from sensors.due import Due, Ended, Target, due

PREPARE, REPORT = Target("prepare", "b"), Target("report", "b")
ONE, TWO = Target("evaluate", "b", "one"), Target("evaluate", "b", "two")


class Made:
    """A plan in which chosen targets are stale: all that is not named is fresh."""

    def __init__(self, *stale: Target, content: str = "A", answered: bool = False) -> None:
        self.steps = []
        for name, node in NODES.items():
            for model in ("one", "two") if node.per_model else (None,):
                target = Target(node.job, "b", model)
                reasons = ("not made yet",) if target in stale else ()
                posed = f"{name} {model} of {content}"
                asked = posed if reasons else f"{posed}, made"
                known = not reasons or (answered and target == REPORT)
                status = "stale" if reasons else "fresh"
                self.steps.append(Step(Ref(name, "b", model), status, reasons, asked, posed, answered=known))


def ask(made: Made, running=(), past=None, cannot=None) -> Due:
    return due(made.steps, running, lambda target: (past or {}).get(target, []), cannot or {})


def asked(made: Made, **known) -> list[Target]:
    return [one.target for one in ask(made, **known).requests]


def digest_of_only(made: Made, **known) -> str:
    [request] = ask(made, **known).requests
    return request.asked_for


def test_nothing_stale_nothing_asked():
    assert ask(Made()) == Due()


def test_models_wait_for_prepare_and_the_report_for_the_models():
    assert asked(Made(PREPARE, ONE, TWO, REPORT)) == [PREPARE]
    assert asked(Made(ONE, TWO, REPORT)) == [ONE, TWO]
    assert asked(Made(TWO, REPORT)) == [TWO]
    assert asked(Made(REPORT)) == [REPORT]


def test_a_target_with_a_run_under_way_is_not_asked_for():
    assert asked(Made(PREPARE, ONE, TWO, REPORT), running={PREPARE}) == []
    assert asked(Made(ONE, TWO, REPORT), running={ONE}) == [TWO]
    assert asked(Made(ONE, REPORT), running={ONE}) == []
    assert asked(Made(REPORT), running={REPORT}) == []


@pytest.mark.parametrize("busy", [ONE, TWO, REPORT])
def test_no_stage_is_made_anew_under_one_that_reads_it(busy):
    assert asked(Made(PREPARE, ONE, TWO, REPORT), running={busy}) == []


@pytest.mark.parametrize("busy", [PREPARE, REPORT])
def test_no_model_starts_while_what_it_reads_or_what_reads_it_is_under_way(busy):
    assert asked(Made(ONE, REPORT), running={busy}) == []


def test_a_failed_run_is_asked_for_again_and_after_three_it_is_named():
    made = Made(ONE, REPORT)
    question = digest_of_only(made)
    for failures in range(3):
        assert asked(made, past={ONE: [Ended(question, "failed")] * failures}) == [ONE]
    found = ask(made, past={ONE: [Ended(question, "failed")] * 3})
    assert [one.target for one in found.requests] == [REPORT]
    [named] = found.left_out
    assert named.startswith("evaluate[b|one]: failed 3 times")


def test_the_next_try_waits_longer_after_each_failure_and_the_report_with_it():
    made = Made(ONE, REPORT)
    question = digest_of_only(made)
    for failures, pause in ((1, 60), (2, 300)):
        older = [Ended(question, "failed")] * (failures - 1)
        early = ask(made, past={ONE: [Ended(question, "failed", pause - 1), *older]})
        assert (early.requests, early.left_out) == ((), ())
        assert early.later == ("evaluate[b|one] failed and is asked for again soon",)
        assert asked(made, past={ONE: [Ended(question, "failed", pause), *older]}) == [ONE]
    other = digest_of_only(Made(ONE, content="B"))
    assert asked(made, past={ONE: [Ended(other, "failed", 1)]}) == [ONE]


def test_the_report_waits_for_the_other_models_when_one_has_failed_for_good():
    made = Made(ONE, TWO, REPORT)
    question = next(one.asked_for for one in ask(made).requests if one.target == ONE)
    past = {ONE: [Ended(question, "failed")] * 3}
    assert asked(made, past=past) == [TWO]
    assert asked(made, past=past, running={TWO}) == []


def test_a_report_made_without_the_model_that_failed_is_not_made_again():
    made = Made(ONE, REPORT, answered=True)
    question = digest_of_only(Made(ONE, REPORT))
    assert asked(made, past={ONE: [Ended(question, "failed")] * 3}) == []


def test_failures_of_another_question_do_not_count():
    old = digest_of_only(Made(PREPARE, content="A"))
    assert asked(Made(PREPARE, content="B"), past={PREPARE: [Ended(old, "failed")] * 3}) == [PREPARE]


def test_content_that_goes_back_to_what_it_was_is_asked_for_again():
    first, second = (digest_of_only(Made(PREPARE, content=content)) for content in "AB")
    past = [Ended(second, "succeeded"), Ended(first, "failed"), Ended(first, "failed"), Ended(first, "failed")]
    assert asked(Made(PREPARE, content="A"), past={PREPARE: past}) == [PREPARE]


def test_a_run_that_succeeds_and_changes_nothing_is_not_asked_for_for_ever():
    question = digest_of_only(Made(PREPARE))
    found = ask(Made(PREPARE), past={PREPARE: [Ended(question, "succeeded")] * 3})
    assert found.requests == ()
    assert "did not make it" in found.left_out[0]


def test_what_a_person_canceled_is_left_to_the_person():
    question = digest_of_only(Made(PREPARE))
    found = ask(Made(PREPARE), past={PREPARE: [Ended(question, "canceled")]})
    assert found.requests == ()
    assert "canceled" in found.left_out[0]


def test_a_model_that_cannot_be_had_is_named_and_the_report_goes_on():
    found = ask(Made(ONE, REPORT), cannot={"one": "its weights are not here", "two": "it is fresh, so nobody asks"})
    assert [one.target for one in found.requests] == [REPORT]
    assert found.left_out == ("model one: its weights are not here",)


def test_a_request_says_why_and_prepare_for_which_content():
    [request] = ask(Made(PREPARE)).requests
    assert (request.why, request.content) == ("raw_dataset: not made yet", "raw_dataset None of A")
    assert ask(Made(ONE)).requests[0].content == ""


def test_every_round_ends_whatever_fails():
    """Play rounds in which runs succeed, fail or are canceled at random: each ends with a report or says why not."""
    for seed in range(200):
        rng = random.Random(seed)
        stale, past, count = {PREPARE, ONE, TWO, REPORT}, {}, 0
        hopeless = {target for target in sorted(stale, key=str) if rng.random() < 0.3}
        while (found := ask(Made(*stale), past=past)).requests:
            for request in found.requests:
                bad = request.target in hopeless or rng.random() < 0.2
                past.setdefault(request.target, []).insert(
                    0, Ended(request.asked_for, "failed" if bad else "succeeded")
                )
                if not bad:
                    stale.discard(request.target)
                count += 1
        assert count <= 4 * 3, f"seed {seed}"
        named = " ".join(found.left_out)
        if PREPARE in stale:
            assert str(PREPARE) in named, f"seed {seed}"
        else:
            assert all(str(target) in named for target in stale), f"seed {seed}"


def with_reasons(reasons: dict[str, tuple[str, ...]], *, model: str = "one") -> Made:
    """Return a plan in which these assets of a model are stale for these reasons, and so is the report."""
    made = Made(REPORT)
    made.steps = [
        Step(step.ref, "stale", reasons[step.ref.asset], step.asked, step.posed)
        if step.ref.asset in reasons and step.ref.model == model
        else step
        for step in made.steps
    ]
    return made


CODE = "code of ab_assets.training.loop changed"
FOLLOWS = "fine_tuned_checkpoint[b|one] is stale"


def test_a_person_is_asked_before_models_compute_for_other_code_alone():
    made = with_reasons({"fine_tuned_checkpoint": (CODE,), "predictions": (CODE, FOLLOWS), "model_metrics": (FOLLOWS,)})
    found = due(made.steps, (), lambda _: [], {}, ask_for_code=True)
    assert found.requests == ()
    assert "evaluate[b|one]: only its code has changed" in found.left_out[0]
    assert [one.target for one in due(made.steps, (), lambda _: [], {}).requests] == [ONE]


@pytest.mark.parametrize(
    "reasons",
    [
        {"fine_tuned_checkpoint": (CODE, "input split changed")},
        {"embeddings": ("not made yet",), "fine_tuned_checkpoint": (CODE,)},
        {"predictions": ("parameter seeds.0 changed: 1 -> 2",)},
        {"model_metrics": ("code of ab_assets.evaluation.metrics changed",)},
    ],
)
def test_other_reasons_and_what_only_scores_need_no_person(reasons):
    found = due(with_reasons(reasons).steps, (), lambda _: [], {}, ask_for_code=True)
    assert [one.target for one in found.requests] == [ONE]


def test_a_request_says_whether_a_model_computes():
    for asset in PRODUCTS:
        assert ask(with_reasons({asset: ("not made yet",)})).requests[0].computes
    assert not ask(with_reasons({"model_metrics": ("not made yet",)})).requests[0].computes
    assert not ask(Made(PREPARE)).requests[0].computes
