import base64
from xml.etree import ElementTree

import polars as pl

from ab_assets.reports.thumbnail import thumbnail_svg, thumbnail_uri

SVG = "{http://www.w3.org/2000/svg}"


def test_every_method_has_a_row_with_its_numbers(scores):
    root = ElementTree.fromstring(thumbnail_svg(scores, {"antiberty": "AntiBERTy"}))  # noqa: S314 - made by us
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "AntiBERTy fine-tuned" in words
    assert "0.71 [0.68, 0.74]" in words
    assert int(root.get("height")) > 20 * scores["method"].n_unique()


def test_controls_are_hollow(scores):
    svg = thumbnail_svg(scores)
    assert svg.count("<circle") - svg.count('fill="#ffffff" stroke') == 2


def test_names_from_data_cannot_become_markup(scores):
    svg = thumbnail_svg(scores, {"antiberty": "<script>alert(1)</script>"})
    assert "<script" not in svg
    ElementTree.fromstring(svg)  # noqa: S314 - made by us


def test_an_undefined_score_is_a_dash_without_a_point(scores):
    svg = thumbnail_svg(scores.with_columns(value=pl.lit(None, pl.Float64)))
    assert "<circle" not in svg
    assert svg.count("\N{EN DASH}") == scores["method"].n_unique()


def test_the_uri_holds_the_picture(scores):
    kind, _, payload = thumbnail_uri(scores).partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(payload).decode() == thumbnail_svg(scores)
