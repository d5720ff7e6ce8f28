"""One dot with its interval as a small PNG, for mail programs that show neither SVG nor scripts.

Drawn here, pixel by pixel, since nothing that draws PNG comes without a browser or a graphics library.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from ab_assets.reports.palette import BAND, MUTED, RULE, mark

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ab_assets.reports.methods import Method

WIDTH, HEIGHT = 200, 22  # as they are shown
MARGIN = 8  # left of 0 and right of 1
_FINE = 2  # pixels per pixel shown, for sharp screens
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def strip_png(
    method: Method, value: float | None, low: float | None, high: float | None, *, chance: float | None = None
) -> bytes:
    """Return the PNG of one method's score between 0 and 1; without a value it has only the grid."""
    drawn = mark(method)
    background = _colour(BAND if method.group == "control" else "#ffffff")
    y, x = np.mgrid[0 : HEIGHT * _FINE, 0 : WIDTH * _FINE] / _FINE + 0.5 / _FINE
    pixels = np.broadcast_to(background, (*x.shape, 3)).copy()
    for tick in _TICKS:
        _paint(pixels, RULE, _inside(np.abs(x - _place(tick)) - 0.5))
    if chance is not None:
        _paint(pixels, MUTED, _inside(np.abs(x - _place(chance)) - 0.5) * (y % 5 < 2))
    middle = HEIGHT / 2
    if low is not None and high is not None:
        across = np.maximum(_place(low) - x, x - _place(high))
        _paint(pixels, drawn.colour, _inside(np.maximum(across, np.abs(y - middle) - 1)))
    if value is not None:
        away = _distance(drawn.symbol, x - _place(value), y - middle)
        _paint(pixels, drawn.colour, _inside(away))
        if drawn.hollow:
            _paint(pixels, "#ffffff", _inside(away + 1.5))
    return _png(np.rint(pixels).astype(np.uint8))


def _place(value: float) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * min(max(value, 0.0), 1.0)


def _distance(symbol: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far outside the symbol each point lies, negative inside."""
    if symbol == "square":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) - 4.5)
    if symbol == "diamond":
        return np.asarray((np.abs(x) + np.abs(y) - 6.5) / np.sqrt(2))
    return np.asarray(np.hypot(x, y) - 5)


def _inside(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of each pixel is covered, given how far its middle lies outside."""
    return np.clip(0.5 - distance * _FINE, 0, 1)


def _paint(pixels: NDArray[np.float64], colour: str, share: NDArray[np.float64]) -> None:
    pixels += share[..., None] * (_colour(colour) - pixels)


def _colour(code: str) -> NDArray[np.float64]:
    return np.array([int(code[place : place + 2], 16) for place in (1, 3, 5)], dtype=np.float64)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of (row, column, RGB) pixels: https://www.w3.org/TR/png-3/."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
