"""How the numbers were made, in the words of a methods section, from what was really done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ab_assets.reports import wording
from ab_assets.reports.methods import describe
from ab_assets.reports.wording import NBSP

if TYPE_CHECKING:
    from ab_assets.reports.report_data import ReportData


@dataclass(frozen=True, slots=True)
class Note:
    """One paragraph and what it is about."""

    title: str
    text: str


def method_notes(data: ReportData) -> tuple[Note, ...]:
    """Return how this report's numbers were made."""
    notes = [_split(data), _fits(data), _thresholds(), _metrics(data), _intervals(data), _comparisons(data)]
    return (*notes, _controls(data), _not_shown(data))


def corrections(data: ReportData) -> tuple[Note, ...]:
    """Return what is done differently from usual practice in comparisons of antibody language models."""
    shared = [
        Note(
            "Similar antibodies",
            "Clustering thins data but does not bound the similarity of test to training rows. Here every test and "
            "validation row is compared with every training row of its fit, by VH, CDR-H3 and, where given, VL.",
        ),
        Note(
            "Pre-trained models",
            "A pre-trained model under an untrained output layer says nothing, so it is not shown as a method. The "
            "frozen probe is what a pre-trained model knows: a regularised linear classifier on its states, the frozen "
            "SVM one with an RBF kernel.",
        ),
        Note(
            "Same rows for all",
            "Every method, baselines and probe included, is trained, tuned and tested on the same rows of each fit.",
        ),
        Note(
            "Binary labels first",
            "Labels are made binary before duplicates are merged, so that contradictions are found between the labels "
            "that are used; contradicting rows are dropped and counted.",
        ),
    ]
    if data.benchmark.task != "paratope":
        return tuple(shared)
    return (
        Note(
            "One label, one score per residue",
            "Residue labels meet their scores for every tokenizer, unknown residues included; a tokenizer that skips "
            "one shifts all later labels by a place. Residues beyond a model's maximum length have no score.",
        ),
        Note(
            "IMGT regions are closed intervals",
            "FR1 1-26, CDR1 27-38, FR2 39-55, CDR2 56-65, FR3 66-104, CDR3 105-117, FR4 118-129. Slices that drop "
            "the last position of each region lose about one in eight true paratope residues.",
        ),
        *shared,
    )


def _split(data: ReportData) -> Note:
    bounds = [
        f"{wording.number(bound, digits=2)} ({wording.MEASURES.get(measure, measure)})"
        for measure, bound in data.bounds.items()
        if bound is not None
    ]
    policy = {
        "identity": "Antibodies at or above the identity bounds are kept on one side: connected groups of similar rows "
        "are assigned to folds whole, and where a group is too large the fewest rows are removed to cut it.",
        "group": "Declared groups (donors, structures) are never divided between folds.",
        "published": "The split is the one that was published with the data.",
        "random": "Rows are assigned to folds at random; similar antibodies stand on both sides.",
        "time": "Rows are divided by date: training is older than validation, and validation older than test.",
    }[data.benchmark.split.policy]
    identity = (
        " Identity of two chains is one minus their edit distance over the longer length; of two CDR-H3 the share of "
        "equal residues when they are equally long, else 0."
    )
    measured = f" Bounds: {wording.listing(bounds)}, {'not enforced' if data.waived else 'enforced'}." if bounds else ""
    return Note("Split", policy + measured + identity)


def _fits(data: ReportData) -> Note:
    fits = data.sizes["fit"].n_unique()
    seeds = len(data.benchmark.split.seeds)
    number = wording.plural(seeds, "seed")
    rotation = (
        f"Each of {fits} fits tests one fold, validates on the next and trains on the rest, with {number}. "
        if fits > 1
        else f"There is one fit, with {number}. "
    )
    return Note(
        "Fits",
        f"{rotation}Training stops on validation loss; test rows are scored once, with the epoch of the lowest "
        "validation loss.",
    )


def _thresholds() -> Note:
    return Note(
        "Thresholds",
        "MCC, F1, precision, recall, specificity, FPR and balanced accuracy need a decision. Each fit of each method "
        "has its own threshold, the one with the highest MCC on its validation rows; test rows play no part in it.",
    )


def _metrics(data: ReportData) -> Note:
    lead = "Metrics are computed per fit and averaged, never on scores pooled over fits. "
    if data.benchmark.task == "paratope":
        return Note(
            "Metrics",
            lead
            + "Average precision and MCC lead: few residues are in a paratope, and their IMGT positions alone give an "
            "AUROC near 0.95, so AUROC hardly separates methods. A method that knows nothing has the prevalence as its "
            "average precision.",
        )
    return Note(
        "Metrics",
        lead
        + "A method that knows nothing has the prevalence as its average precision, 0.5 as AUROC and 0 as MCC. Test "
        "rows keep the prevalence of the data.",
    )


def _intervals(data: ReportData) -> Note:
    unit = "PDB entries and sequence clusters" if data.benchmark.task == "paratope" else "sequence clusters"
    clusters = data.scores["clusters"].max()
    resamples = wording.count(data.benchmark.evaluation.resamples)
    of_clusters = f" of {wording.count(int(str(clusters)))}" if clusters is not None else " of"
    return Note(
        "Intervals",
        f"95{NBSP}% percentile intervals over {resamples} joint resamples{of_clusters} {unit}, the same resamples for "
        "every method, fit and seed. Single antibodies or residues are not resampled: they resemble one another, and "
        "their intervals would be too narrow. The intervals hold the fitted models fixed; how much folds and seeds "
        "differ is shown apart, under the table.",
    )


def _comparisons(data: ReportData) -> Note:
    baseline = wording.in_sentence(describe(data.benchmark.primary_baseline, {}).label)
    return Note(
        "Comparisons",
        f"Named beforehand: each model against the {baseline}, as paired differences with simultaneous (max-T) "
        f"95{NBSP}% intervals, so that all of them hold together. An interval that includes 0 shows no difference; it "
        "does not show that methods are equal. All other pairs are exploratory, with pointwise intervals.",
    )


def _controls(data: ReportData) -> Note:
    how = (
        "permuted among the residues of each chain"
        if data.benchmark.task == "paratope"
        else "permuted between similarity clusters within a fold"
    )
    return Note(
        "Controls",
        f"Training and validation labels are {how}, test labels are the true ones. Language models are fine-tuned on "
        "one shuffle; methods that train in seconds learn from as many as there is time for, up to "
        f"{wording.count(data.benchmark.evaluation.control_shuffles)}. A control that beats chance points to something "
        "other than the labels, for instance a class that is easier to place.",
    )


def _not_shown(data: ReportData) -> Note:
    residue = " Scores of residues next to each other are not independent." if data.benchmark.task == "paratope" else ""
    return Note(
        "What these numbers do not say",
        "They hold for antibodies drawn like the test rows. They do not include the choice of data, of labels or of "
        f"training settings, and calibration curves pool the scores of all fits.{residue}",
    )
