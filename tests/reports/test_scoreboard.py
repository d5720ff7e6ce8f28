"""The metric table in a letter: what the report shows, in fewer lines, each drawn."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import polars as pl
import pytest

from ab_assets.reports.methods import describe
from ab_assets.reports.scoreboard import MOST_METHODS, certificate_words, scoreboard
from ab_assets.reports.strips import HEIGHT, WIDTH, strip_png

COMPARED = pl.DataFrame(
    schema={
        "family": pl.String,
        "method": pl.String,
        "reference": pl.String,
        "metric": pl.String,
        "difference": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)


def scores(*methods: str, undefined=()) -> pl.DataFrame:
    rows = [
        {
            "view": "all",
            "method": method,
            "metric": metric,
            "value": None if method in undefined else 0.9 - 0.01 * place,
            "low": None if method in undefined else 0.8 - 0.01 * place,
            "high": None if method in undefined else 0.95,
            "positives": 10,
            "negatives": 30,
        }
        for place, method in enumerate(methods)
        for metric in ("ap", "mcc", "auroc")
    ]
    return pl.DataFrame(rows)


def test_models_stand_before_baselines_before_controls_the_best_first():
    board = scoreboard(
        scores("kmer-logistic", "m fine-tuned", "m frozen-probe", "m fine-tuned-shuffled"), COMPARED, {"m": "M"}
    )
    assert [line.label for line in board.lines] == [
        "M fine-tuned",
        "M frozen probe",
        "k-mer logistic regression",
        "M fine-tuned, shuffled labels",
    ]
    assert [line.group for line in board.lines] == [
        "Language models",
        "",
        "Baselines",
        "Controls: trained on shuffled labels",
    ]
    assert board.headings == ("AP", "MCC", "AUROC")
    assert board.lead == "M fine-tuned: average precision 0.890 [0.79, 0.95]."
    assert set(board.pictures) == {line.picture for line in board.lines}
    assert board.drawing.startswith("<svg")


def test_the_difference_to_the_baseline_named_beforehand_is_told():
    row = {
        "family": "primary",
        "method": "m fine-tuned",
        "reference": "kmer-logistic",
        "metric": "ap",
        "difference": 0.1,
        "low": 0.02,
        "high": 0.2,
    }
    board = scoreboard(scores("m fine-tuned", "kmer-logistic"), pl.DataFrame([row]), {})
    assert board.lead.endswith("+0.100 [+0.020, +0.200] against k-mer logistic regression: better.")


def test_where_methods_are_not_ranked_the_first_model_is_spoken_of():
    table = scores("b frozen-probe", "b fine-tuned", "a frozen-probe", "a fine-tuned")
    assert scoreboard(table, COMPARED, {}).lead.startswith("b frozen probe:")
    assert scoreboard(table, COMPARED, {}, not_ranked="a").lead.startswith("a fine-tuned:")


def test_an_undefined_score_is_a_dash_and_no_score_is_said():
    board = scoreboard(scores("m fine-tuned", undefined=("m fine-tuned",)), COMPARED, {})
    assert board.lines[0].cells[0] == ("\N{EN DASH}", "")
    assert board.lead == "No model has been scored."


def test_only_so_many_methods_are_shown():
    board = scoreboard(scores(*(f"m{index} fine-tuned" for index in range(100))), COMPARED, {})
    assert (len(board.lines), board.left_out) == (MOST_METHODS, 60)
    assert sum(map(len, board.pictures.values())) < 60_000


@pytest.mark.parametrize(
    ("enforced", "passed", "good", "words"),
    [(True, True, True, "certified"), (True, False, False, "LEAKS"), (False, True, False, "waived")],
)
def test_a_certificate_in_words(enforced, passed, good, words):
    found = certificate_words({"enforced": enforced, "passed": passed, "maximum": {"vh": 0.7}})
    assert found[0] is good
    assert found[1].startswith(words)
    assert "vh 0.70" in found[1]


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, size = 8, b"", (0, 0)
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        body = png[place + 8 : place + 8 + length]
        assert struct.unpack(">I", png[place + 8 + length : place + 12 + length]) == (zlib.crc32(kind + body),)
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        data += body if kind == b"IDAT" else b""
        place += 12 + length
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(size[1], 1 + 3 * size[0])
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(size[1], size[0], 3)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize("name", ["m fine-tuned", "m frozen-probe", "kmer-logistic"])
def test_the_dot_lies_where_the_value_is(name, value):
    drawn = pixels(strip_png(describe(name, {}), value, None, None))
    assert drawn.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    _, columns = np.nonzero(np.ptp(drawn.astype(int), axis=2) > 60)  # what has a colour
    expected = 2 * (8 + (WIDTH - 16) * min(value, 1.0))
    assert columns.mean() == pytest.approx(expected, abs=1.5)


def test_without_a_value_there_is_only_the_grid():
    assert np.ptp(pixels(strip_png(describe("m fine-tuned", {}), None, None, None)).astype(int), axis=2).max() < 20


def test_equal_scores_give_equal_pictures():
    method = describe("m fine-tuned", {})
    assert strip_png(method, 0.5, 0.4, 0.6, chance=0.2) == strip_png(method, 0.5, 0.4, 0.6, chance=0.2)
