"""Whether anything starts by itself, and how often one looks: two environment variables."""

from __future__ import annotations

import os

AUTOMATION = "AB_ASSETS_AUTOMATION"
SECONDS = "AB_ASSETS_SENSOR_SECONDS"

_OFF = ("off", "0", "false", "no")


def is_off() -> bool:
    """Tell whether the environment says that nothing starts by itself."""
    return os.environ.get(AUTOMATION, "").strip().lower() in _OFF


def seconds_between(usual: int) -> int:
    """Return the seconds between two looks of a sensor; whatever is not a number of 1 or more is the usual."""
    said = os.environ.get(SECONDS, "").strip()
    return int(said) if said.isdecimal() and int(said) >= 1 else usual
