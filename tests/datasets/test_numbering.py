import sqlite3

import pytest

from ab_assets.datasets.imgt import cdrh3_of
from ab_assets.datasets.numbering import AnarciiNumbering, NumberingResult, result_from_anarcii
from ab_assets.errors import CorruptArtifactError


def anarcii_output(residues, start, chain_type="H"):
    numbering = [((number, letter), residue) for number, letter, residue in residues]
    return {"numbering": numbering, "chain_type": chain_type, "query_start": start, "error": None}


def test_residues_outside_the_domain_have_no_position():
    output = anarcii_output([(1, " ", "-"), (2, " ", "E"), (111, "A", "V")], 2)
    assert result_from_anarcii("GSEVAS", output).positions == (None, None, "2", "111A", None, None)


def test_a_failure_is_told_in_the_words_of_the_tool():
    output = {"numbering": None, "chain_type": "F", "query_start": None, "error": "Score less than cut off."}
    assert result_from_anarcii("AAA", output) == NumberingResult(failure="Score less than cut off.")


def test_an_answer_about_other_residues_is_a_failure():
    assert "not those" in result_from_anarcii("EV", anarcii_output([(1, " ", "Q")], 0)).failure


@pytest.mark.parametrize(
    ("locus", "chain", "reason"),
    [
        ("heavy", "vh", None),
        ("light", "vl", None),
        ("light", "vh", "light-chain-in-vh"),
        ("heavy", "vl", "heavy-chain-in-vl"),
        (None, "vh", "not-numbered"),
    ],
)
def test_a_domain_in_the_wrong_column_is_named(locus, chain, reason):
    assert NumberingResult(locus=locus).reason_against(chain) == reason


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Two real domains and one sequence that is none, numbered by the real tool."""
    # Trastuzumab (PDB 1N8Z) with two residues before and three after VH.
    vh = (
        "GSEVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYC"
        "SRWGGDGFYAMDYWGQGTLVTVSSAST"
    )
    vl = "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQKPGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQGTKVEIK"
    steps = []
    tool = AnarciiNumbering(tmp_path_factory.mktemp("numbering") / "cache.sqlite", threads=1)
    results = tool.number([vh, vl, "A" * 100, vh], progress=lambda *step: steps.append(step))
    return tool, results, steps, vh, vl


def test_real_domains_are_numbered_by_imgt(numbered):
    _, results, _, vh, vl = numbered
    assert cdrh3_of(vh, results[vh].positions) == "SRWGGDGFYAMDY"
    assert results[vh].positions[:3] == (None, None, "1")
    assert results[vh].positions[-4:] == ("128", None, None, None)
    assert (results[vh].locus, results[vl].locus) == ("heavy", "light")
    assert len(results[vl].positions) == len(vl)


def test_no_failure_is_skipped_and_progress_is_complete(numbered):
    _, results, steps, *_ = numbered
    assert results["A" * 100].failure
    assert len(results) == 3
    assert steps[-1] == ("numbering", 3, 3)


def test_nothing_is_numbered_twice(numbered, monkeypatch):
    tool, results, *_ = numbered
    monkeypatch.setattr(AnarciiNumbering, "_model", lambda self: pytest.fail("the model was loaded"))
    assert tool.number(list(results)) == results
    assert tool.number([]) == {}


def test_results_of_another_version_are_not_taken(numbered, monkeypatch):
    tool, results, *_ = numbered
    monkeypatch.setattr("ab_assets.datasets.numbering.version", lambda name: "0")
    monkeypatch.setattr(AnarciiNumbering, "_model", lambda self: NoDomains())
    assert all(result.failure == "none" for result in tool.number(list(results)).values())


class NoDomains:
    def number(self, sequences):
        return {name: {"numbering": None, "error": "none"} for name in sequences}


@pytest.mark.parametrize("content", [b"no database at all, and long enough to see" * 3, None])
def test_a_damaged_cache_is_named(tmp_path, content):
    cache = tmp_path / "cache.sqlite"
    if content is None:
        with sqlite3.connect(cache) as connection:
            connection.execute("CREATE TABLE numbering (x)")
        connection.close()
    else:
        cache.write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"cache\.sqlite.*delete this file"):
        AnarciiNumbering(cache).number(["EVQL"])
