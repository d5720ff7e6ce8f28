from ab_assets.reports.balance import accounts, fit_sizes
from ab_assets.reports.wording import NBSP


def test_every_total_is_the_sum_of_its_parts(make_report):
    source, kept, antibodies = accounts(make_report())
    assert all(account.balanced for account in (source, kept, antibodies))
    assert (
        source.sentence
        == "110 source rows = 100 kept + 7 rejected: no heavy chain + 3 rejected: letters that are no amino acids"
    )
    assert [number for number, _ in kept.parts] == [90, 4, 6]
    assert antibodies.sentence == "90 antibodies = 80 in the split + 10 no label"


def test_rows_that_went_missing_are_said_to_be_missing(make_report):
    data = make_report()
    source, *_ = accounts(make_report(curation={**data.curation, "rejected": {}}))
    assert not source.balanced
    assert "are not" in source.sentence


def test_sizes_give_antibodies_and_classes(make_report):
    first, _ = fit_sizes(make_report())
    assert first.test == f"40 (16 of 40, 40.0{NBSP}%)"


def test_a_role_that_a_fit_lacks_is_a_dash(make_report):
    sizes = make_report().sizes.filter(fit=0, role="test")
    (only,) = fit_sizes(make_report(sizes=sizes))
    assert (only.train, only.fit) == ("\N{EN DASH}", 0)
