import pytest

from ab_assets.reports.notes import corrections, method_notes


def text_of(notes, title):
    return next(note.text for note in notes if note.title == title)


def test_intervals_say_how_many_resamples_of_what(make_report):
    text = text_of(method_notes(make_report()), "Intervals")
    assert "10,000 joint resamples of 50 sequence clusters" in text
    assert "fitted models fixed" in text


def test_paratopes_are_resampled_by_entry_and_led_by_average_precision(make_report):
    notes = method_notes(make_report(task="paratope"))
    assert "50 PDB entries and sequence clusters" in text_of(notes, "Intervals")
    assert "AUROC hardly separates methods" in text_of(notes, "Metrics")


@pytest.mark.parametrize(("policy", "enforced"), [("identity", "enforced"), ("published", "not enforced")])
def test_the_split_note_says_whether_the_bounds_hold(make_report, policy, enforced):
    assert f"0.90 (VH) and 0.80 (CDR-H3), {enforced}." in text_of(method_notes(make_report(policy=policy)), "Split")


def test_residue_corrections_are_told_only_about_residues(make_report):
    residues = {note.title for note in corrections(make_report(task="paratope"))}
    antibodies = {note.title for note in corrections(make_report())}
    assert residues - antibodies == {"One label, one score per residue", "IMGT regions are closed intervals"}


def test_the_comparison_note_names_the_baseline_chosen_beforehand(make_report):
    assert "each model against the k-mer logistic regression" in text_of(method_notes(make_report()), "Comparisons")
