"""Letters show text as it is, in text and in HTML, and stay small whatever is written into them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab_assets.reports.letter import Content, Item, Letter, Section, is_web, letter_of, short

HOSTILE = '"><script>alert(1)</script><img src=x onerror=y>\r\nBcc: z\x00\u202e{{ 7 * 7 }}{% raw %}&amp;'


class Seen(HTMLParser):
    """The elements and the text of a page, as a browser reads it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.links, self.text, self.attributes = [], [], "", set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data


def full(text: str, count: int = 3, link: str = "") -> Letter:
    item = Item(text, why=text, link=link or text)
    sections = tuple(Section(text, (item,) * count, kind) for kind in ("bad", "mind", "plain"))
    facts = ((True, text), (False, text))
    return letter_of(Content(text, text, text, text, facts, sections, None, (("Report", link or text),), text))


PLAIN = Seen(full("plain").html)


def test_text_from_data_is_never_markup():
    seen = Seen(full(HOSTILE).html)
    assert seen.tags == PLAIN.tags
    assert seen.attributes == PLAIN.attributes
    assert "<script>alert(1)</script>" in seen.text
    assert "{{ 7 * 7 }}" in seen.text
    assert "\u202e" not in seen.text
    assert "\x00" not in seen.text


@given(st.text())
@settings(max_examples=60)
def test_no_text_changes_what_the_page_consists_of(text):
    letter = full(f"x{text}")
    assert Seen(letter.html).tags == PLAIN.tags
    assert short(f"x{text}") == " ".join(short(f"x{text}").split())
    assert "\n" not in letter.subject


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "//x.example", " http://x", "/home/report.html"]
)
def test_only_web_addresses_are_links(link):
    assert not is_web(link)
    assert Seen(full("x", link=link).html).links == []


def test_a_web_address_is_a_link_and_stands_in_the_text():
    letter = full("x", link='https://x.example/a?b=1&c="d"')
    assert Seen(letter.html).links == ['https://x.example/a?b=1&c="d"'] * 10
    assert 'https://x.example/a?b=1&c="d"' in letter.text


def test_a_letter_stays_small_whatever_it_tells():
    letter = full("long " * 100_000, count=5_000)
    assert len(letter.html) < 150_000
    assert len(letter.text) < 100_000
    assert len(letter.subject) <= 120
    assert "and 4980 more" in letter.text
    assert "and 4980 more" in letter.html


def test_the_text_has_lines_that_mail_programs_leave_alone():
    letter = full("several words " * 30, link="https://x.example")
    assert max(len(line) for line in letter.text.splitlines()) <= 120
    assert letter.text.endswith("\n")
    assert re.search(r"^-- $", letter.text, re.MULTILINE)
