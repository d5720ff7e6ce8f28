"""Names in a sentence."""

from __future__ import annotations

from sensors.saying import listed


def test_ten_are_named_and_the_others_counted():
    assert listed("ab") == "a, b"
    assert listed(str(n) for n in range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
