"""Two environment variables."""

from __future__ import annotations

import pytest

from sensors.switch import is_off, seconds_between


@pytest.mark.parametrize(("said", "off"), [("off", True), (" OFF ", True), ("0", True), ("on", False), ("", False)])
def test_one_word_turns_automation_off(monkeypatch, said, off):
    monkeypatch.setenv("AB_ASSETS_AUTOMATION", said)
    assert is_off() is off


def test_automation_is_on_unless_said(monkeypatch):
    monkeypatch.delenv("AB_ASSETS_AUTOMATION", raising=False)
    assert not is_off()


@pytest.mark.parametrize(("said", "seconds"), [("3", 3), ("", 20), ("0", 20), ("-1", 20), ("soon", 20)])
def test_seconds_between_looks(monkeypatch, said, seconds):
    monkeypatch.setenv("AB_ASSETS_SENSOR_SECONDS", said)
    assert seconds_between(20) == seconds
