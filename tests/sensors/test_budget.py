"""How much models may compute by themselves."""

from __future__ import annotations

import pytest

from ab_assets.errors import BadInputError
from ab_assets.home import Home
from sensors.budget import Budget, read_budget, within
from sensors.due import Request, Target


def request(name: str, *, computes: bool = True) -> Request:
    return Request(Target("evaluate", "b", name), "digest", "why", computes=computes)


ASKED = [request("a"), request("scores", computes=False), request("b"), request("c")]


def names(requests) -> list[str]:
    return [one.target.model for one in requests]


def test_without_a_file_there_is_no_limit_and_code_is_asked_about(tmp_path):
    budget = read_budget(Home(tmp_path))
    assert within(budget, ASKED, at_work=99, of_the_day=999) == (ASKED, "")
    assert budget.code_changes == "ask"


def test_as_many_compute_at_once_as_allowed_and_others_are_not_counted():
    allowed, said = within(Budget(model_runs_at_once=3), ASKED, at_work=1, of_the_day=50)
    assert names(allowed) == ["a", "scores", "b"]
    assert said == "1 runs of models wait: model_runs_at_once = 3"


def test_the_day_counts_whatever_runs_now():
    allowed, said = within(Budget(model_runs_at_once=9, model_runs_per_day=4), ASKED, at_work=0, of_the_day=4)
    assert names(allowed) == ["scores"]
    assert "model_runs_per_day = 4" in said


def test_every_problem_of_the_file_is_named_with_the_nearest_key(tmp_path):
    (tmp_path / "automation.toml").write_text('model_runs_per_dai = 3\ncode_changes = "never"\n')
    with pytest.raises(BadInputError) as caught:
        read_budget(Home(tmp_path))
    assert "2 problem(s)" in str(caught.value)
    assert "Did you mean 'model_runs_per_day'?" in str(caught.value)
    assert "code_changes" in str(caught.value)


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "automation.toml").write_text("= 3")
    with pytest.raises(BadInputError, match=r"no TOML"):
        read_budget(Home(tmp_path))
