import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ab_assets.evaluation.baselines import methods_for
from ab_assets.evaluation.baselines.fitting import fit_items
from ab_assets.evaluation.baselines.vj_genes import genes_are_given, vj_genes


@pytest.fixture
def annotated(binders):
    """Binders come from IGHV3-53, in three alleles; J genes say nothing."""
    allele = pl.int_range(pl.len()) % 3 + 1
    gene = pl.when("label").then(pl.lit("IGHV3-53")).otherwise(pl.lit("IGHV1-69"))
    return binders.with_columns(v_call=pl.format("{}*0{},IGHV9-9*01", gene, allele), j_call=pl.lit("IGHJ4*02"))


def test_the_gene_counts_and_the_allele_does_not(annotated, roles_of, benchmark_of):
    roles = roles_of(annotated)
    tested = roles.filter(pl.col("role") == "test").select("row_id", "role")
    other = annotated.join(tested, on="row_id", how="left").with_columns(
        v_call=pl.when(pl.col("role").is_null()).then("v_call").otherwise(pl.col("v_call").str.replace(r"\*0\d", "*17"))
    )
    scores = [vj_genes(fit_items(rows, roles, benchmark_of()))[1] for rows in (annotated, other.drop("role"))]
    assert (scores[0] == scores[1]).all()
    assert roc_auc_score(annotated["label"].tail(30), scores[0]) == 1.0


def test_a_gene_that_training_lacks_tells_nothing(annotated, roles_of, benchmark_of):
    roles = roles_of(annotated)
    tested = roles.filter(pl.col("role") == "test")["row_id"]
    unseen = pl.when(pl.col("row_id").is_in(tested.implode())).then(pl.lit("IGHV7-77*01")).otherwise("v_call")
    scores = vj_genes(fit_items(annotated.with_columns(v_call=unseen), roles, benchmark_of()))[1]
    assert len(set(scores)) == 1


def test_genes_are_a_baseline_where_most_rows_have_them(annotated, binders, structures, benchmark_of):
    assert methods_for(annotated, benchmark_of())[-1] == "vj-genes"
    assert "vj-genes" not in methods_for(binders, benchmark_of())
    assert "vj-genes" not in methods_for(annotated, benchmark_of(chains="L"))  # the calls are of the heavy chain
    assert "vj-genes" not in methods_for(structures, benchmark_of("paratope", "HL"))
    few = annotated.with_columns(pl.when(pl.col("row_id") < "r040").then(pl.col("v_call", "j_call")))
    assert not genes_are_given(few)
