"""Nothing passes that leaks, and nothing that was changed after it was certified."""

from __future__ import annotations

import json

import polars as pl
import pytest

from ab_assets.benchmarks.schema import Split
from ab_assets.errors import CorruptArtifactError, LeakageError
from ab_assets.splits.certificate import Certificate, certify, require_certificate
from ab_assets.splits.identity import sequence_identity
from ab_assets.tables import ROLES, conform

ENFORCED = Split(folds=3)
WAIVED = Split(folds=3, policy="published", certificate="report")


@pytest.fixture
def roles():
    def build(rows):
        names = ["train", "train", "validation", "test"]
        frame = rows.select("row_id", fit=pl.lit(0), fold=pl.lit(0), role=pl.int_range(rows.height) % 4)
        return conform(frame.with_columns(role=pl.col("role").replace_strict(dict(enumerate(names)))), ROLES)

    return build


def with_copy(rows, roles):
    """Return rows and roles with a near copy of the first test row among training."""
    first = roles.filter(pl.col("role") == "test")["row_id"][0]
    copied = rows.filter(pl.col("row_id") == first).with_columns(
        row_id=pl.lit("copy"), vh=pl.format("{}A", pl.col("vh").str.slice(0, 50))
    )
    extra = conform(pl.DataFrame({"fit": [0], "row_id": ["copy"], "role": ["train"], "fold": [2]}), ROLES)
    return pl.concat([rows, copied]), pl.concat([roles, extra])


def apart(curated):
    """Return rows of which no two are similar."""
    rows = pl.concat([curated(1, seed=seed) for seed in range(40)])
    return rows.with_columns(row_id=pl.format("r{}", pl.int_range(40)))


def test_the_stored_maximum_is_the_brute_force_one(curated, roles):
    rows = curated(40, seed=6)
    nearest = certify(rows, roles(rows), WAIVED).nearest
    by_id = {row["row_id"]: row for row in rows.iter_rows(named=True)}
    train = roles(rows).filter(pl.col("role") == "train")["row_id"].to_list()
    for row in nearest.filter(pl.col("by").is_in(["vh", "cdrh3"])).iter_rows(named=True):
        by, held = row["by"], by_id[row["row_id"]]
        best = max(sequence_identity(held[by], by_id[name][by], kind=by) for name in train)
        assert row["identity"] == pytest.approx(best)
        if row["nearest_row_id"]:
            assert sequence_identity(held[by], by_id[row["nearest_row_id"]][by], kind=by) == pytest.approx(best)


def test_a_near_copy_added_to_training_by_hand_is_refused_by_name(curated, roles):
    rows = apart(curated)
    given = roles(rows)
    certificate = certify(rows, given, ENFORCED)
    require_certificate(rows, given, certificate, ENFORCED)
    with pytest.raises(LeakageError, match="copy"):
        require_certificate(*with_copy(rows, given), certificate, ENFORCED)


def test_a_near_copy_is_refused_even_with_a_certificate_made_for_it(curated, roles):
    rows = apart(curated)
    changed = with_copy(rows, roles(rows))
    with pytest.raises(LeakageError):
        require_certificate(*changed, certify(*changed, ENFORCED), ENFORCED)


def test_a_changed_sequence_needs_a_new_certificate(curated, roles):
    rows = apart(curated)
    certificate = certify(rows, roles(rows), ENFORCED)
    changed = rows.with_columns(vh=pl.format("{}WWWW", pl.col("vh")))
    with pytest.raises(LeakageError, match="not given to these rows"):
        require_certificate(changed, roles(rows), certificate, ENFORCED)


def test_a_waived_certificate_shows_its_maxima_and_lets_training_go_on(curated, roles):
    rows = curated(40, seed=6)
    changed = with_copy(rows, roles(rows))
    certificate = certify(*changed, WAIVED)
    require_certificate(*changed, certificate, WAIVED)
    assert certificate.to_json()["maximum"]["vh"] > 0.8
    assert not certificate.to_json()["enforced"]


def test_one_entry_on_both_sides_is_a_leak(curated, roles):
    rows = apart(curated).with_columns(entry=pl.lit("1abc"))
    certificate = certify(rows, roles(rows), ENFORCED)
    assert not certificate.passed
    assert certificate.bounds["entry"] == 1.0


def test_a_certificate_survives_json(curated, roles):
    rows = apart(curated)
    certificate = certify(rows, roles(rows), ENFORCED)
    again = Certificate.from_json(json.loads(json.dumps(certificate.to_json())))
    assert again.digest == certificate.digest
    require_certificate(rows, roles(rows), again, ENFORCED)


def test_what_is_no_certificate_is_refused():
    with pytest.raises(CorruptArtifactError):
        Certificate.from_json({"policy": "identity"})


def test_a_light_chain_alone_may_not_resemble_that_of_a_pair(curated, roles):
    rows = apart(curated).with_columns(vl=pl.col("vh").str.reverse())
    given = roles(rows)
    tested, trained = (given.filter(pl.col("role") == role)["row_id"][0] for role in ("test", "train"))
    light = rows.filter(pl.col("row_id") == tested)["vl"][0]
    for alone, paired in ((tested, trained), (trained, tested)):
        here = pl.col("row_id").is_in([alone, paired])
        leaking = rows.with_columns(
            vl=pl.when(here).then(pl.lit(light)).otherwise("vl"),
            vh=pl.when(pl.col("row_id") == alone).then(None).otherwise("vh"),
            cdrh3=pl.when(here).then(None).otherwise("cdrh3"),
        )
        certificate = certify(leaking, given, ENFORCED)
        assert not certificate.passed
        with pytest.raises(LeakageError, match=f"{tested} and training row {trained}"):
            require_certificate(leaking, given, certificate, ENFORCED)


def test_rows_without_a_role_do_not_count(curated, roles):
    rows = apart(curated)
    given = roles(rows)
    idle = conform(pl.DataFrame({"row_id": ["idle"], "vl": ["ACD"], "entry": ["1abc"]}), rows.schema)
    certificate = certify(pl.concat([rows, idle]), given, ENFORCED)
    require_certificate(rows.reverse(), given, certificate, ENFORCED)


def test_one_row_in_two_roles_is_a_leak(curated, roles):
    rows = apart(curated)
    given = roles(rows)
    twice = pl.concat([given, given.filter(pl.col("role") == "test").head(1).with_columns(role=pl.lit("train"))])
    assert not certify(rows, twice, ENFORCED).passed


def test_a_waiver_written_into_a_certificate_by_hand_is_refused(curated, roles):
    rows = curated(40, seed=6)
    changed = with_copy(rows, roles(rows))
    waived = Certificate.from_json(certify(*changed, ENFORCED).to_json() | {"enforced": False, "passed": True})
    with pytest.raises(LeakageError, match="too similar"):
        require_certificate(*changed, waived, ENFORCED)
