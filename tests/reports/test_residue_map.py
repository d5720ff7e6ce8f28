import polars as pl

from ab_assets.reports.residue_map import RESIDUES, residue_map


def residue(row_id="r1", chain="vh", *, place=0, position="1", label=False, score=0.1, mcc=0.5):
    return (row_id, f"<{row_id}>", chain, place, position, "ACDEFG"[place], label, score, 0.5, mcc)


def table(*rows):
    return pl.DataFrame(rows, schema=RESIDUES, orient="row")


def test_a_residue_is_called_at_the_threshold_of_its_fit():
    rows = [(True, 0.5), (True, 0.4), (False, 0.9), (False, 0.1), (True, None)]
    (chain,) = residue_map(table(*[residue(place=i, label=y, score=s) for i, (y, s) in enumerate(rows)]))
    assert [cell.state for cell in chain.regions[0].cells] == ["hit", "miss", "false", "rest", "unseen"]


def test_the_last_position_of_a_region_belongs_to_it():
    positions = ["104", "105", "117", "118"]
    (chain,) = residue_map(table(*[residue(place=i, position=p) for i, p in enumerate(positions)]))
    assert [(region.name, len(region.cells)) for region in chain.regions] == [("FR3", 1), ("CDR3", 2), ("FR4", 1)]


def test_residues_without_positions_make_one_unnamed_region():
    (chain,) = residue_map(table(residue(place=0, position=None), residue(place=1, position=None)))
    assert [(region.name, len(region.cells)) for region in chain.regions] == [("", 2)]
    assert chain.regions[0].cells[1].title.startswith("residue 2 C: score 0.10")


def test_antibodies_keep_their_order_and_the_heavy_chain_comes_first():
    maps = residue_map(table(residue("worst", "vl"), residue("worst", "vh"), residue("best", "vh")))
    assert [(chain.antibody, chain.chain) for chain in maps] == [("<worst>", "vh"), ("<worst>", "vl"), ("<best>", "vh")]


def test_no_residues_make_no_map():
    assert residue_map(RESIDUES.to_frame()) == ()
