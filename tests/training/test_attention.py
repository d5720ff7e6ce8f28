import polars as pl
import pytest
import torch

from ab_assets.models.loading import load_encoder
from ab_assets.models.twins import twin_spec
from ab_assets.tables import ATTENTION
from ab_assets.training.attention import attention_table, received_attention
from ab_assets.training.trunk import FrozenTrunk


@pytest.fixture(params=["bert", "esm"])
def encoder(request):
    return load_encoder(twin_spec(request.param, max_length=24))


def tops(encoder, split=1):
    changed = encoder.trainable_copy(split)
    with torch.no_grad():
        for weight in changed.parameters():
            weight.mul_(1.5)
    return {"fine-tuned": changed.eval(), "pre-trained": encoder.stack(split, encoder.layer_count)}


def test_received_attention_is_what_transformers_own_weights_say(encoder):
    text = ("EVQLVESGG",)
    ids = torch.tensor([encoder.tokenizer.encode(text, 24).ids])
    frozen = FrozenTrunk(encoder, 1)
    (received,) = received_attention(encoder, tops(encoder), [text, ("QVQ",)], trunk=frozen)["pre-trained", text]
    encoder.model.set_attn_implementation("eager")
    theirs = encoder.model(input_ids=ids, attention_mask=torch.ones_like(ids), output_attentions=True).attentions
    expected = torch.stack([layer[0].mean(dim=0)[1:-1, 1:-1].mean(dim=0) for layer in theirs])
    assert received.shape == (3, 9)
    torch.testing.assert_close(received, expected.detach(), atol=1e-5, rtol=0)


def test_only_trained_layers_attend_differently(encoder):
    text = ("EVQLVESGG",)
    received = received_attention(encoder, tops(encoder), [text], trunk=FrozenTrunk(encoder, 1))
    (before,), (after,) = received["pre-trained", text], received["fine-tuned", text]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1:], after[1:])


def test_positions_are_averaged_over_the_antibodies_that_have_them(encoder, rows):
    two = rows.head(2)
    table = attention_table(encoder, tops(encoder), two, trunk=FrozenTrunk(encoder, 1), chain_names=("vh", "vl"))
    assert table.schema == ATTENTION
    assert table["layer"].unique().to_list() == [0, 1, 2]
    first = table.filter(chain="vh", position="1", layer=0, model_state="pre-trained")
    alone = [
        attention_table(encoder, tops(encoder), two[i], trunk=FrozenTrunk(encoder, 1), chain_names=("vh",))
        .filter(position="1", layer=0, model_state="pre-trained")["attention"]
        .item()
        for i in range(2)
    ]
    assert first["antibodies"].item() == 2
    assert first["attention"].item() == pytest.approx(sum(alone) / 2, abs=1e-6)


def test_residues_of_both_chains_attend_where_they_share_a_text(encoder):
    pair = ("EVQL", "DIQ")
    vh, vl = received_attention(encoder, tops(encoder), [pair], trunk=FrozenTrunk(encoder, 1))["pre-trained", pair]
    assert (vh.shape, vl.shape) == ((3, 4), (3, 3))
    assert (vh.sum(dim=1) + vl.sum(dim=1) < 1).all()  # the rest goes to special tokens


@pytest.mark.parametrize("encoder", ["bert"], indirect=True)
def test_truncated_residues_and_rows_without_positions_do_not_count(encoder, rows):
    encoder.max_length = 12
    table = attention_table(encoder, tops(encoder), rows, trunk=FrozenTrunk(encoder, 1), chain_names=("vh",))
    assert set(table["position"]) == {str(i) for i in range(1, 13)}
    bare = rows.with_columns(vh_positions=pl.lit(None, pl.List(pl.String)))
    assert attention_table(encoder, tops(encoder), bare, trunk=FrozenTrunk(encoder, 1), chain_names=("vh",)).is_empty()
