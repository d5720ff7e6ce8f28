"""Letters go out once each, whatever the server says and whenever one is killed; what waits is said."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.errors import BadInputError, Problem
from ab_assets.reports.letter import Letter
from resources.mail import Mail, MailSettings, Secrets
from resources.smtp import UnsentError
from sensors import outbox
from sensors.outbox import PAUSES, TRIES_OF_A_LETTER, Owed, Pause, Told, post

MAIL = Mail(MailSettings(host="localhost", sender="a@b.example", recipients=("c@d.example",)), Secrets())


class World:
    """A server under the test's hand, and what is kept."""

    def __init__(self) -> None:
        self.now, self.kept, self.sent, self.ids, self.answer = 1e9, Told("home"), [], [], lambda key: None
        self.killed = False
        self.before = (outbox.send, outbox.time)

    def __enter__(self):
        outbox.send = self.send
        outbox.time = SimpleNamespace(**vars(time) | {"time": lambda: self.now})
        return self

    def __exit__(self, *_):
        outbox.send, outbox.time = self.before

    def send(self, mail, letter, message_id):
        if because_of := self.answer(letter.subject):
            raise UnsentError(because_of, Problem(what=f"refused by the {because_of}"))
        self.sent.append(letter.subject)
        self.ids.append(message_id)
        return ()

    def keep(self, told):
        if self.killed:
            raise KeyboardInterrupt
        self.kept = told

    def owed(self, *keys):
        """Return what is owed: those of the keys of which nobody was told."""
        return [
            Owed(key, key, lambda key=key: Letter(key, "", ""), lambda told, key=key: with_told(told, key))
            for key in keys
            if key not in self.kept.silent
        ]

    def post(self, *keys, until=float("inf")):
        return post(MAIL, self.kept, self.owed(*keys), self.keep, until)


def with_told(told: Told, key: str) -> Told:
    from dataclasses import replace

    return replace(told, silent={**told.silent, key: 1.0})


@pytest.fixture
def world():
    with World() as world:
        yield world


def test_each_letter_goes_out_once(world):
    assert world.post("a", "b") == ["sent: a", "sent: b"]
    assert world.post("a", "b") == []
    assert world.sent == ["a", "b"]


def test_a_server_that_fails_is_not_asked_again_in_the_same_look(world):
    world.answer = lambda key: "server"
    [said] = world.post("a", "b")
    assert said.startswith("letters wait until")
    assert "refused by the server" in said
    assert world.kept.server.failures == 1
    world.answer = lambda key: None
    assert world.post("a")[0].startswith("letters wait until")
    world.now += PAUSES[0] + 1
    assert world.post("a", "b") == ["sent: a", "sent: b"]
    assert world.kept.server == Pause()


def test_a_letter_that_is_refused_holds_up_no_other_and_is_given_up(world):
    world.answer = lambda key: "letter" if key == "a" else None
    said = []
    for number in range(TRIES_OF_A_LETTER + 2):
        said.append(world.post("a", f"b{number}"))
        world.now += PAUSES[-1] + 1
    assert world.sent == [f"b{number}" for number in range(TRIES_OF_A_LETTER + 2)]
    assert said[TRIES_OF_A_LETTER - 1][0].startswith("a is given up")
    assert len(said[-1]) == 1
    assert world.kept.refused == {}


def test_a_refused_letter_waits_for_its_turn(world):
    world.answer = lambda key: "letter"
    world.post("a")
    assert world.post("a") == ["a waits: refused by the letter."]
    assert world.kept.refused["a"].failures == 1


def test_a_letter_that_cannot_be_written_holds_up_no_other(world):
    def broken():
        raise BadInputError(what="no table")

    [owed] = world.owed("b")
    said = post(MAIL, world.kept, [Owed("a", "a", broken, lambda told: told), owed], world.keep, float("inf"))
    assert said == ["a: no table.", "sent: b"]


def test_no_letter_is_begun_when_the_time_is_up(world):
    assert world.post("a", until=0.0) == ["further letters go out in the next looks"]
    assert world.sent == []


def test_a_clock_that_is_set_back_does_not_make_a_pause_longer():
    pause = Pause().longer(1e9, "why")
    assert pause.holds(1e9)
    assert not pause.holds(1e9 - 10 * PAUSES[-1])


def test_killed_before_it_is_kept_the_same_letter_goes_again_under_the_same_id(world):
    world.killed = True
    with pytest.raises(KeyboardInterrupt):
        world.post("a")
    world.killed = False
    world.post("a")
    world.post("a")
    assert world.sent == ["a", "a"]
    assert world.ids[0] == world.ids[1]


@given(
    st.lists(st.tuples(st.sampled_from(["server", "letter", None]), st.floats(0, 5000), st.integers(0, 4)), max_size=40)
)
def test_every_letter_goes_out_exactly_once_or_is_given_up(schedule):
    with World() as world:
        owed: list[str] = []
        for answer, seconds, more in schedule:
            world.now += seconds
            owed += [f"letter {len(owed) + index}" for index in range(more)]
            world.answer = lambda key, answer=answer: answer
            world.post(*owed)
            world.kept = outbox._from_json(json.loads(json.dumps(_plain(world.kept))))
        world.answer = lambda key: None
        for _ in range(2):
            world.now += PAUSES[-1] + 1
            world.post(*owed)
        assert len(world.sent) == len(set(world.sent))
        assert set(owed) == set(world.kept.silent)
        assert set(world.sent) <= set(owed)


def _plain(told: Told):
    import dataclasses

    return dataclasses.asdict(told)
