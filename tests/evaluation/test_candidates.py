import polars as pl
import pytest

from ab_assets.errors import MissingArtifactError
from ab_assets.evaluation.candidates import CANDIDATE_SCORES, call_candidates, domain_bound
from ab_assets.tables import CANDIDATES, THRESHOLDS, conform

TEST_NEAREST = [0.5 + place / 1000 for place in range(200)]


def candidates(*rows):
    given = [
        {"row_id": row, "sequence_id": f"id-{row}", "vh": "EVQ", "fit": fit, "seed": 1} | more
        for row, fit, more in rows
    ]
    return conform(pl.DataFrame(given, infer_schema_length=None), CANDIDATE_SCORES)


def decided(*values):
    rows = [{"method": "fine-tuned", "fit": fit, "seed": 1, "threshold": value} for fit, value in enumerate(values)]
    return conform(pl.DataFrame(rows), THRESHOLDS)


def nearest(**identities):
    return pl.DataFrame(
        {"row_id": list(identities), "nearest_identity": list(identities.values()), "nearest_row_id": "t1"},
        schema={"row_id": pl.String, "nearest_identity": pl.Float64, "nearest_row_id": pl.String},
    )


def test_a_candidate_is_called_at_the_stored_threshold_which_itself_is_positive():
    scores = candidates(("b", 0, {"probability": 0.7}), ("a", 0, {"probability": 0.6}), ("c", 0, {"probability": 0.59}))
    found = call_candidates(scores, decided(0.6), nearest(a=0.9, b=0.9, c=0.9), TEST_NEAREST)
    assert found.schema == CANDIDATES
    assert found.select("sequence_id", "probability", "call", "threshold").rows() == [
        ("id-b", 0.7, True, 0.6),
        ("id-a", 0.6, True, 0.6),
        ("id-c", 0.59, False, 0.6),
    ]


def test_of_several_fits_the_mean_probability_meets_the_mean_threshold():
    scores = candidates(("a", 0, {"probability": 0.2}), ("a", 1, {"probability": 0.6}))
    found = call_candidates(scores, decided(0.5, 0.1), nearest(a=0.9), TEST_NEAREST)
    assert found.select("probability", "threshold", "call").row(0) == pytest.approx((0.4, 0.3, True))


@pytest.mark.parametrize(("identity", "outside"), [(0.49, True), (0.5, True), (0.502, False), (0.99, False)])
def test_further_from_training_than_99_percent_of_the_test_rows_is_out_of_domain(identity, outside):
    found = call_candidates(candidates(("a", 0, {"probability": 0.5})), decided(0.5), nearest(a=identity), TEST_NEAREST)
    assert found.select("nearest_identity", "nearest_row_id", "out_of_domain").row(0) == (identity, "t1", outside)
    assert sum(value < domain_bound(TEST_NEAREST) for value in TEST_NEAREST) <= len(TEST_NEAREST) / 100


def test_without_an_identity_or_without_test_rows_the_domain_is_not_known():
    scores = candidates(("a", 0, {"probability": 0.5}))
    assert call_candidates(scores, decided(0.5), nearest(), TEST_NEAREST)["out_of_domain"].to_list() == [None]
    assert call_candidates(scores, decided(0.5), nearest(a=0.1), [None])["out_of_domain"].to_list() == [None]
    assert domain_bound(pl.Series([0.3, None])) == 0.3


def test_paratopes_get_a_probability_per_residue_and_no_call():
    scores = candidates(
        ("a", 0, {"vh_probabilities": [0.1, 0.2, None], "vl_probabilities": None}),
        ("a", 1, {"vh_probabilities": [0.3, 0.6, None], "vl_probabilities": None}),
        ("b", 0, {"vh_probabilities": [0.5], "vl_probabilities": [0.7, 0.9]}),
    )
    found = call_candidates(scores, decided(0.5, 0.5), nearest(a=0.9, b=0.9), TEST_NEAREST)
    assert found["vh_probabilities"].to_list() == [[pytest.approx(0.2), pytest.approx(0.4), None], [0.5]]
    assert found["vl_probabilities"].to_list() == [None, [0.7, 0.9]]
    assert found.select("probability", "call").rows() == [(None, None)] * 2


def test_candidates_with_the_same_name_stay_apart():
    scores = candidates(("a", 0, {"probability": 0.1}), ("b", 0, {"probability": 0.9})).with_columns(
        sequence_id=pl.lit("same")
    )
    found = call_candidates(scores, decided(0.5), nearest(a=0.9, b=0.8), TEST_NEAREST)
    assert found.select("probability", "nearest_identity").rows() == [(0.1, 0.9), (0.9, 0.8)]


def test_a_fit_without_a_threshold_is_refused():
    with pytest.raises(MissingArtifactError, match="fit 1, seed 1 has no threshold"):
        call_candidates(candidates(("a", 1, {"probability": 0.5})), decided(0.5), nearest(a=0.9), TEST_NEAREST)
