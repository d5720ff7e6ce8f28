import polars as pl
import pytest
import torch

from ab_assets.models.loading import load_encoder
from ab_assets.models.twins import twin_spec
from ab_assets.tables import ATTENTION
from ab_assets.training.attention import attention_table, received_attention


@pytest.fixture(params=["bert", "esm"])
def encoder(request):
    return load_encoder(twin_spec(request.param, max_length=12))


def tops(encoder, split=1):
    changed = encoder.trainable_copy(split)
    with torch.no_grad():
        for weight in changed.parameters():
            weight.mul_(1.5)
    return {"fine-tuned": changed.eval(), "pre-trained": encoder.stack(split, encoder.layer_count)}


def test_received_attention_is_what_transformers_own_weights_say(encoder):
    ids = torch.tensor([encoder.tokenizer.encode("EVQLVESGG", 12).ids])
    received = received_attention(encoder, tops(encoder), ["EVQLVESGG", "QVQ"], split=1)["pre-trained", "EVQLVESGG"]
    encoder.model.set_attn_implementation("eager")
    theirs = encoder.model(input_ids=ids, attention_mask=torch.ones_like(ids), output_attentions=True).attentions
    expected = torch.stack([layer[0].mean(dim=0)[1:-1, 1:-1].mean(dim=0) for layer in theirs])
    assert received.shape == (3, 9)
    torch.testing.assert_close(received, expected.detach(), atol=1e-5, rtol=0)


def test_only_trained_layers_attend_differently(encoder):
    received = received_attention(encoder, tops(encoder), ["EVQLVESGG"], split=1)
    before, after = received["pre-trained", "EVQLVESGG"], received["fine-tuned", "EVQLVESGG"]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1:], after[1:])


def test_positions_are_averaged_over_the_antibodies_that_have_them(encoder, rows):
    two = rows.head(2)
    table = attention_table(encoder, tops(encoder), two, split=1, chain_names=("vh", "vl"))
    assert table.schema == ATTENTION
    assert table["layer"].unique().to_list() == [0, 1, 2]
    first = table.filter(chain="vh", position="1", layer=0, model_state="pre-trained")
    alone = [
        attention_table(encoder, tops(encoder), two[i], split=1, chain_names=("vh",))
        .filter(position="1", layer=0, model_state="pre-trained")["attention"]
        .item()
        for i in range(2)
    ]
    assert first["antibodies"].item() == 2
    assert first["attention"].item() == pytest.approx(sum(alone) / 2, abs=1e-6)


def test_truncated_residues_and_rows_without_positions_do_not_count(encoder, rows):
    table = attention_table(encoder, tops(encoder), rows, split=1, chain_names=("vh",))
    assert set(table["position"]) == {str(i) for i in range(1, 13)}
    bare = rows.with_columns(vh_positions=pl.lit(None, pl.List(pl.String)))
    assert attention_table(encoder, tops(encoder), bare, split=1, chain_names=("vh",)).is_empty()
