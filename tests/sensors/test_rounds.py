"""One letter for each round: completed or expired, whatever restarts, whatever server fails."""

from __future__ import annotations

import json
from datetime import datetime, time
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.rounds import Round, Standing, as_json, from_json, looked, next_time, told

DAY = 86_400.0
BERLIN = ZoneInfo("Europe/Berlin")


def open_(asked="A", outcome="nothing") -> Standing:
    return Standing(asked, outcome, is_open=True)


def over(asked="A", outcome="report") -> Standing:
    return Standing(asked, outcome, is_open=False)


class Post:
    """One benchmark under looks; remembers through JSON, as a daemon that starts again at every look."""

    def __init__(self, *, first=False, deadline=lambda since: since + DAY) -> None:
        self.memory, self.first, self.deadline = "{}", first, deadline
        self.letters: list[tuple[str, str]] = []

    def look(self, standing: Standing, now: float, *, server=True):
        before = from_json(json.loads(self.memory)).get("b")
        here, ending = looked(standing, before, now, self.deadline, first=self.first)
        self.first = False
        if ending and server:
            self.letters.append((standing.asked, ending))
            here = told(standing, here, ending)
        self.memory = json.dumps(as_json({"b": here}))
        return ending


def test_a_round_that_completes_is_told_once():
    post = Post()
    for now, standing in enumerate([open_(), open_(), over(), over(), over()]):
        post.look(standing, now)
    assert post.letters == [("A", "completed")]


def test_a_round_seen_for_the_first_time_when_it_is_over_is_told():
    post = Post()
    post.look(over(), 0)
    assert post.letters == [("A", "completed")]


def test_what_was_over_before_anyone_looked_is_no_news_and_what_was_open_is():
    finished, working = Post(first=True), Post(first=True)
    finished.look(over(), 0)
    working.look(open_(), 0)
    working.look(over(), 1)
    assert (finished.letters, working.letters) == ([], [("A", "completed")])


def test_at_the_deadline_it_goes_out_with_what_is_there_and_not_again_when_the_rest_has_come():
    post = Post()
    for now in (0, DAY - 1, DAY, DAY + 1, 3 * DAY):
        post.look(open_(), now)
    post.look(over(), 3 * DAY + 1)
    post.look(over(), 3 * DAY + 2)
    assert post.letters == [("A", "expired")]


def test_after_a_round_that_expired_the_next_ones_are_told():
    post = Post()
    for now, standing in [(0, open_()), (DAY, open_()), (DAY + 1, over()), (DAY + 2, open_("B")), (DAY + 3, over("B"))]:
        post.look(standing, now)
    assert post.letters == [("A", "expired"), ("B", "completed")]


def test_content_that_goes_there_and_back_is_told_each_time():
    post = Post()
    for now, asked in enumerate("ABA"):
        post.look(open_(asked), 2 * now)
        post.look(over(asked), 2 * now + 1)
    assert post.letters == [("A", "completed"), ("B", "completed"), ("A", "completed")]


def test_who_comes_back_before_anything_was_told_has_no_news():
    post = Post()
    for now, standing in enumerate([over("A"), open_("B"), open_("A"), over("A")]):
        post.look(standing, now)
    assert post.letters == [("A", "completed")]


def test_another_outcome_of_the_same_question_is_told():
    """A model that had failed was run again by a person."""
    post = Post()
    for now, standing in enumerate([over(outcome="without m"), open_(), over(outcome="whole")]):
        post.look(standing, now)
    assert post.letters == [("A", "completed")] * 2


def test_a_server_that_is_away_delays_the_letter():
    post = Post()
    assert post.look(over(), 0, server=False) == "completed"
    assert post.look(over(), 1, server=False) == "completed"
    assert post.look(over(), 2) == "completed"
    assert post.look(over(), 3) is None
    assert post.letters == [("A", "completed")]


def test_a_round_that_completes_while_its_letter_at_the_deadline_waits_has_one_letter():
    post = Post()
    post.look(open_(), 0)
    assert post.look(open_(), DAY, server=False) == "expired"
    post.look(over(), DAY + 1)
    assert post.letters == [("A", "completed")]


def test_a_clock_that_is_set_back_starts_the_wait_again():
    here, ending = looked(open_(), Round("A", 1000.0), 10.0, lambda since: since + DAY)
    assert (here.since, ending) == (10.0, None)


def test_each_letter_of_a_benchmark_has_a_number():
    here, ending = looked(over(), None, 0.0, lambda since: since)
    once = told(over(), here, ending)
    again, ending = looked(over("B"), once, 1.0, lambda since: since)
    assert (once.letters, told(over("B"), again, ending).letters) == (1, 2)


def test_a_memory_of_another_shape_is_forgotten():
    whole = as_json({"b": Round("A", None)})
    broken = {"c": {"asked": 1}, "d": None, "e": {**whole["b"], "more": 1}, "f": {**whole["b"], "expired": 0}}
    assert from_json(whole | broken) == {"b": Round("A", None)}
    assert from_json([]) == from_json(None) == {}


events = st.lists(
    st.tuples(
        st.sampled_from(["ask A", "ask B", "ask C", "finish", "wait", "look"]),
        st.booleans(),  # is the server there at this look?
        st.floats(0, 0.7 * DAY),
    ),
    max_size=40,
)


@given(events)
@settings(max_examples=1000)
def test_exactly_one_letter_for_each_round(schedule):
    """Play any schedule. A round begins when a look finds another question, or work where there was none.

    It is owed one letter: at the first look with a server that finds it over, or open past its deadline; none when it
    is over and is what the last letter told.
    """
    post, now, asked, is_open = Post(), 0.0, "A", True
    rounds: list[dict] = []
    told = ""

    def look(*, server):
        nonlocal told
        if not rounds or rounds[-1]["asked"] != asked or (is_open and rounds[-1]["closed"]):
            rounds.append({"asked": asked, "began": now, "closed": False, "letters": 0})
        one, about = rounds[-1], f"{asked} {'open' if is_open else 'over'}"
        news = now >= one["began"] + DAY if is_open else about != told
        if server and news and not one["letters"]:
            one["letters"], told = 1, about
        if not is_open and (one["letters"] or about == told):
            one["closed"], told = True, about
        post.look(open_(asked) if is_open else over(asked), now, server=server)
        assert len(post.letters) == sum(one["letters"] for one in rounds)

    for what, server, seconds in schedule:
        now += seconds
        if what == "finish":
            is_open = False
        elif what == "look":
            look(server=server)
        elif what != "wait" and what[-1] != asked:
            asked, is_open = what[-1], True
    is_open = False
    for _ in range(3):
        now += 1
        look(server=True)
    assert [one["asked"] for one in rounds if one["letters"]] == [content for content, _ in post.letters]
    assert all(one["letters"] <= 1 for one in rounds)
    assert told == f"{asked} over"


def test_the_deadline_is_the_next_time_that_the_clock_shows_it():
    def moment(*when):
        return datetime(*when, tzinfo=BERLIN).timestamp()

    seven = time(7, 0)
    assert next_time(moment(2026, 6, 1, 18), seven, BERLIN) == moment(2026, 6, 2, 7)
    assert next_time(moment(2026, 6, 1, 6, 59), seven, BERLIN) == moment(2026, 6, 1, 7)
    assert next_time(moment(2026, 6, 1, 7), seven, BERLIN) == moment(2026, 6, 2, 7)
    assert next_time(moment(2026, 6, 1, 7), None, BERLIN) == float("inf")
    # The night in which clocks go from 02:00 to 03:00, and that in which they go back: once each.
    skipped = next_time(moment(2026, 3, 28, 12), time(2, 30), BERLIN)
    assert moment(2026, 3, 29, 1) < skipped <= moment(2026, 3, 29, 4)
    assert next_time(skipped, time(2, 30), BERLIN) == moment(2026, 3, 30, 2, 30)
    assert next_time(moment(2026, 10, 24, 18), seven, BERLIN) - moment(2026, 10, 24, 18) == 14 * 3600


@given(st.floats(1.7e9, 1.9e9), st.times(timezones=st.none()))
def test_the_deadline_lies_within_a_day_and_an_hour(after, at):
    for zone in (None, BERLIN, ZoneInfo("America/New_York")):
        assert after < next_time(after, at.replace(second=0, microsecond=0), zone) <= after + DAY + 3600
