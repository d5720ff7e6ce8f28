import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_assets import tables
from ab_assets.reports import diagnostics
from ab_assets.reports.palette import VERMILION


@given(st.lists(st.floats(0, 1), max_size=50))
def test_every_identity_is_counted_in_exactly_one_bin(identities):
    starts, numbers = diagnostics._histogram(pl.Series(identities, dtype=pl.Float64))
    assert sum(numbers) == len(identities)
    assert (len(starts), starts[0], starts[-1]) == (50, 0.0, 0.98)


def test_an_identity_on_an_edge_belongs_to_the_bin_that_starts_there():
    starts, numbers = diagnostics._histogram(pl.Series([0.9, 1.0, 0.8]))
    assert [start for start, number in zip(starts, numbers, strict=True) if number] == [0.8, 0.9, 0.98]


def test_bars_at_or_above_the_bound_are_marked(nearest):
    figure = diagnostics.leakage_figure(nearest, {"vh": 0.9, "cdrh3": 0.8, "vl": None})
    vh, cdrh3, vl = figure.data
    assert {round(x - 0.01, 2) for x, c in zip(vh.x, vh.marker.color, strict=True) if c == VERMILION} == {
        0.9, 0.92, 0.94, 0.96, 0.98,
    }  # fmt: skip
    assert VERMILION in cdrh3.marker.color
    assert VERMILION not in vl.marker.color


def test_validation_rows_are_not_in_the_leakage_figure(nearest):
    assert diagnostics.leakage_figure(nearest.with_columns(role=pl.lit("validation")), {"vh": 0.9}) is None


def test_each_fit_has_its_own_loss_lines_and_each_kind_one_legend_entry(make_report):
    steps = [*make_report().histories]
    both = steps + [{**step, "fit": 1} for step in steps]
    figure = diagnostics.training_figure(both, {"antiberty": "<b>A"})
    assert len(figure.data) == 2 * 2 * 2
    assert sum(bool(trace.showlegend) for trace in figure.data) == 4
    assert figure.layout.annotations[0].text == "<b>&lt;b&gt;A</b>"


def test_models_fill_rows_of_panels(make_report):
    step = make_report().histories[0]
    figure = diagnostics.training_figure([{**step, "model": f"m{i}"} for i in range(4)], {})
    assert len({trace.xaxis for trace in figure.data}) == 4
    assert diagnostics.training_figure([], {}) is None


@pytest.mark.parametrize(("last", "step"), [(0, 1), (4, 1), (29, 3)])
def test_every_tick_is_a_whole_epoch(make_report, last, step):
    history = [{**make_report().histories[0], "epoch": epoch} for epoch in range(last + 1)]
    assert diagnostics.training_figure(history, {}).layout.xaxis.dtick == step


def test_attention_is_that_of_the_last_layer_in_imgt_order():
    rows = [
        ("pre-trained", layer, "vh", position, layer / 10, 5)
        for layer in (0, 1)
        for position in ("112", "111A", "111", "27")
    ]
    figure = diagnostics.attention_figure(pl.DataFrame(rows, schema=tables.ATTENTION, orient="row"))
    trace = figure.data[0]
    assert list(trace.customdata) == ["27", "111", "111A", "112"]
    assert set(trace.y) == {0.1}


def test_attention_without_positions_is_not_drawn():
    rows = [("pre-trained", 0, "vh", None, 0.1, 5)]
    assert diagnostics.attention_figure(pl.DataFrame(rows, schema=tables.ATTENTION, orient="row")) is None
