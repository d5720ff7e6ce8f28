import pytest
import torch

from ab_assets.models.loading import load_encoder
from ab_assets.models.twins import twin_spec

CHAINS = ("EVQLVESGGXGLV", "QVQL", "DIQMTQSPSS")


@pytest.fixture(params=["bert", "esm"])
def encoder(request):
    return with_a_norm_that_shows(load_encoder(twin_spec(request.param, layers=3)))


def with_a_norm_that_shows(encoder):
    # a final norm that is applied twice or never would go unseen with its initial weights
    if encoder.family == "esm":
        torch.nn.init.uniform_(encoder.model.encoder.emb_layer_norm_after.weight, 0.5, 2)
    return encoder


def padded(encoder, chains, extra=0):
    encoded = [list(encoder.tokenizer.encode(chain, 100).ids) for chain in chains]
    longest = max(map(len, encoded)) + extra
    ids = torch.tensor([one + [encoder.tokenizer.pad] * (longest - len(one)) for one in encoded])
    mask = torch.tensor([[True] * len(one) + [False] * (longest - len(one)) for one in encoded])
    return ids, mask


def run(encoder, ids, mask, split):
    with torch.inference_mode():
        hidden = encoder.run_layers(encoder.embed(ids, mask), mask, start=0, stop=split)
        return encoder.run_layers(hidden, mask, start=split, stop=encoder.layer_count)


@pytest.mark.parametrize("split", [0, 1, 3])
def test_running_in_parts_gives_what_transformers_forward_gives(encoder, split):
    ids, mask = padded(encoder, CHAINS)
    with torch.inference_mode():
        whole = encoder.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(run(encoder, ids, mask, split)[mask], whole[mask], atol=1e-5, rtol=0)


def test_batch_size_order_and_padding_do_not_change_a_state(encoder):
    ids, mask = padded(encoder, CHAINS)
    together = run(encoder, ids, mask, 1)
    for index, chain in enumerate(CHAINS):
        for extra in (0, 7):
            alone = run(encoder, *padded(encoder, [chain], extra), 1)
            length = int(mask[index].sum())
            torch.testing.assert_close(alone[0, :length], together[index, :length], atol=1e-5, rtol=0)
    reverse = run(encoder, ids.flip(0), mask.flip(0), 1).flip(0)
    torch.testing.assert_close(reverse[mask], together[mask], atol=1e-5, rtol=0)


def test_a_trainable_copy_learns_alone(encoder):
    before = {name: weight.clone() for name, weight in encoder.model.state_dict().items()}
    copy = encoder.trainable_copy(1)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.add_(1)
    assert all(weight.requires_grad for weight in copy.parameters())
    assert not any(weight.requires_grad for weight in encoder.model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.model.state_dict().items())


def test_without_trainable_layers_nothing_of_the_model_learns(encoder):
    assert list(encoder.trainable_copy(3).parameters()) == []


def test_a_stacks_weights_have_the_names_of_the_whole_model(encoder):
    named = encoder.stack(1, 3).named_weights()
    whole = dict(encoder.model.named_parameters())
    assert all(whole[name] is weight for name, weight in named.items())
    assert {name.split(".")[2] for name in named if ".layer." in name} == {"1", "2"}
    assert any("emb_layer_norm_after" in name for name in named) == (encoder.family == "esm")


def test_recorded_attention_is_complete_and_changes_no_state(encoder):
    ids, mask = padded(encoder, CHAINS)
    stack = encoder.stack(0, 3)
    with torch.inference_mode():
        hidden = encoder.embed(ids, mask)
        fused = stack(hidden, mask)
        with stack.recorded_attention() as recorded:
            eager = stack(hidden, mask)
        with stack.recorded_attention() as nothing:
            pass
    assert [tuple(one.shape) for one in recorded] == [(3, 4, ids.shape[1], ids.shape[1])] * 3
    assert nothing == []
    for weights in recorded:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        assert weights.transpose(1, 3)[~mask].abs().max() < 1e-6
    torch.testing.assert_close(eager[mask], fused[mask], atol=1e-5, rtol=0)


def test_an_encoder_says_its_shape(encoder):
    assert (encoder.layer_count, encoder.width, encoder.device.type) == (3, 32, "cpu")
