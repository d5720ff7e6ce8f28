import base64
import hashlib
import html
import json
import re
import subprocess
import sys

import polars as pl
import pytest

from ab_assets import tables
from ab_assets.reports.report import render_report
from ab_assets.reports.residue_map import RESIDUES

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
SCRIPTS = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL)


def without_scripts(page):
    return SCRIPTS.sub("", page)


def figures_of(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture
def page(make_report):
    return render_report(make_report())


def test_text_from_data_never_becomes_markup(make_report, comparisons):
    residues = pl.DataFrame([("r", HOSTILE, "vh", 0, "105", "A", True, 0.9, 0.5, 1.0)], schema=RESIDUES, orient="row")
    data = make_report(
        task="paratope",
        title=HOSTILE,
        models=({"name": "antiberty", "title": HOSTILE, "licence": HOSTILE},),
        residues=residues,
        residues_method="antiberty fine-tuned",
        missing=(HOSTILE,),
        warnings=(HOSTILE,),
        split_summary={HOSTILE: HOSTILE},
        provenance={HOSTILE: {HOSTILE: HOSTILE}, "git": HOSTILE},
        attention={"antiberty": pl.DataFrame(schema=tables.ATTENTION)},
    )
    page = render_report(data)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert "&lt;script&gt;alert" in page


def test_figures_cannot_end_the_script_they_stand_in(make_report):
    data = make_report(models=({"name": "antiberty", "title": HOSTILE},))
    text = re.search(r'id="figures">(.*?)</script>', render_report(data), re.DOTALL)[1]
    assert "<" not in text
    labels = json.loads(text)["scores"]["layout"]["yaxis"]["ticktext"]
    assert any(label.startswith("&lt;script&gt;") for label in labels)


def test_nothing_is_fetched_from_anywhere(page):
    body = without_scripts(page)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", body)
    assert "@import" not in body
    assert "url(" not in body
    assert "default-src 'none'" in body


def test_plotly_is_there_once_and_may_not_send_data_anywhere(page):
    assert len(re.findall(r"plotly\.js v\d", page)) == 1
    assert "showSendToCloud: false" in page
    assert 'plotlyServerURL: ""' in page


def test_the_page_allows_exactly_its_own_scripts(page):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    policy = re.search(r"script-src ([^;]*);", policy)[1]
    digests = set(re.findall(r"sha256-([^']*)'", policy))
    scripts = [script for script in SCRIPTS.findall(page) if not script.startswith("{")]
    assert digests == {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert "unsafe" not in policy


def test_the_answer_stands_before_the_figures(page):
    assert page.index('id="answer"') < page.index('class="banner good"') < page.index('id="figure-scores"')


def test_a_waiver_is_shown_red(make_report):
    page = render_report(make_report(policy="published"))
    assert '<div class="banner bad" role="alert">' in page
    assert "Leakage certificate waived (policy: published)" in page


def test_an_undefined_metric_is_a_dash_with_its_reason(page):
    assert re.search(r'<td data-order="" title="one class is never predicted">\N{EN DASH}</td>', page)


def test_controls_stand_apart_from_the_rest(page):
    body = page[page.index('<tbody class="control">') :]
    assert "Controls: trained on shuffled labels" in body[:300]
    assert "AntiBERTy fine-tuned, shuffled labels" in body[: body.index("</tbody>")]
    assert "shuffled" not in page[page.index('<tbody class="model">') : page.index('<tbody class="control">')]


def test_counts_balance_on_the_page_or_say_that_they_do_not(make_report):
    assert "does not balance" not in render_report(make_report())
    assert "does not balance" in render_report(make_report(used=79))


def test_exploratory_comparisons_are_folded_away(page):
    start = page.index("Exploratory: all other pairs (1, AP, pointwise intervals)")
    assert page.rindex("<details>", 0, start) > page.index('id="figure-comparisons"')


def test_equal_data_give_equal_pages(make_report):
    assert render_report(make_report()) == render_report(make_report())


def test_a_figure_with_nothing_to_show_leaves_no_hole(make_report):
    data = make_report()
    empty = make_report(
        comparisons=data.comparisons.clear(),
        predictions=data.predictions.clear(),
        nearest=data.nearest.clear(),
        histories=(),
        models=(),
    )
    page = render_report(empty)
    assert set(figures_of(page)) == {"scores"}
    assert re.findall(r'id="figure-([^"]*)"', without_scripts(page)) == ["scores"]
    assert "Not measured." in page


def test_a_report_before_any_score_says_so(make_report, scores):
    assert "No method has been scored yet." in render_report(make_report(scores=scores.clear()))


def test_paratopes_are_shown_by_region_and_residue(make_report, scores):
    residues = pl.DataFrame([("r", "1abc", "vh", 0, "105", "A", True, 0.9, 0.5, 1.0)], schema=RESIDUES, orient="row")
    views = [scores, *[scores.with_columns(view=pl.lit(view)) for view in ("region:cdr3", "chain:vh", "per-chain")]]
    page = render_report(
        make_report(task="paratope", scores=pl.concat(views), residues=residues, residues_method="antiberty fine-tuned")
    )
    assert {"regions", "positions"} <= set(figures_of(page))
    assert "Residue map: AntiBERTy fine-tuned" in page
    assert 'class="hit" title="IMGT 105 A: score 0.90; in the paratope and predicted">A</i>' in page
    assert all(heading in page for heading in ("CDR3", "Heavy chain", "Mean per chain"))


def test_every_figure_has_a_caption_and_a_place(make_report):
    page = render_report(make_report())
    places = re.findall(r'id="figure-([^"]*)"', without_scripts(page))
    assert set(places) == set(figures_of(page))
    assert without_scripts(page).count("<figcaption>") == len(places)


def test_commands_name_the_benchmark_and_where_its_files_come_from(page):
    assert "ab-assets materialize demo " in page
    assert "ab-assets add DIR" in page


def test_the_thumbnail_stands_in_until_the_figure_is_drawn(page):
    assert 'src="data:image/svg+xml;base64,' in page


def test_importing_the_report_loads_no_plotly():
    code = "import sys, ab_assets.reports.report; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
