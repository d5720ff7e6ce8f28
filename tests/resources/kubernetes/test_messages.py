"""What a worker says is heard once and whole, from the start."""

from __future__ import annotations

import pytest
from scripted_pods import error_message, message

from resources.kubernetes.causes import Said
from resources.kubernetes.messages import HomeMessages


@pytest.fixture
def file(tmp_path):
    return tmp_path / "messages-1.jsonl"


@pytest.fixture
def messages(file):
    return HomeMessages(file, "/home/messages-1.jsonl")


def kinds(messages):
    return [payload["kind"] for payload in messages.forward()]


def test_a_file_that_is_not_there_says_nothing(messages):
    assert kinds(messages) == []


def test_each_message_is_heard_once(file, messages):
    file.write_text(message("progress"))
    assert kinds(messages) == ["progress"]
    with file.open("a") as out:
        out.write(message("done"))
    assert kinds(messages) == ["done"]
    assert kinds(messages) == []


@pytest.mark.parametrize("cut", [1, 30, len(message("progress")) - 1])
def test_half_a_line_waits_for_its_other_half(file, messages, cut):
    line = message("progress")
    file.write_text(line[:cut])
    assert kinds(messages) == []
    with file.open("a") as out:
        out.write(line[cut:])
    assert kinds(messages) == ["progress"]


@pytest.mark.parametrize("torn", [b'{"method": "repo\n', b"\x00\x00\x00\n", b"\xff\xfe\n", b"[1]\n", b"{}\n", b"\n"])
def test_a_line_that_is_no_message_hides_no_other(file, messages, torn):
    file.write_bytes(message("progress").encode() + torn + message("done").encode())
    assert kinds(messages) == ["progress", "done"]


def test_another_reader_hears_all_from_the_start(file, messages):
    file.write_text(message("progress") + message("outcome"))
    messages.forward()
    assert kinds(HomeMessages(file, "")) == ["progress", "outcome"]


def test_what_decides_an_end_is_noted(file, messages):
    file.write_text(error_message("no rows") + message("out of memory") + message("interrupted") + message("done"))
    messages.forward()
    said = messages.said
    assert (said.done, said.interrupted, said.out_of_memory, said.error["message"]) == (True, True, True, "no rows")


def test_progress_decides_nothing(file, messages):
    file.write_text(message("progress", message="epoch", done=1, total=2))
    messages.forward()
    assert messages.said == Said()


def test_dagster_gets_every_message_and_pods_get_the_path_in_the_pod(file, messages):
    class Handler:
        def __init__(self):
            self.got = []

        def handle_message(self, one):
            self.got.append(one["method"])

    handler = Handler()
    file.write_text('{"method": "opened", "params": {}}\n' + message("done"))
    with messages.read_messages(handler) as parameters:
        assert parameters == {"path": "/home/messages-1.jsonl"}
        assert kinds(messages) == ["done"]
    assert handler.got == ["opened", "report_custom_message"]
    assert str(file) in messages.no_messages_debug_text()
