import pytest
import torch

from ab_assets.models.loading import load_encoder
from ab_assets.models.twins import twin_spec
from ab_assets.training.trunk import FrozenTrunk

CHAINS = ["EVQLVESGG", "QVQL", "DIQMTQ"]


@pytest.fixture(params=["bert", "esm"])
def encoder(request):
    made = load_encoder(twin_spec(request.param, max_length=8))
    if request.param == "esm":  # a final norm that is applied twice or never would go unseen with its initial weights
        torch.nn.init.uniform_(made.model.encoder.emb_layer_norm_after.weight, 0.5, 2)
    return made


def test_a_chain_goes_through_frozen_layers_once(encoder):
    trunk = FrozenTrunk(encoder, 1)
    trunk.ensure([*CHAINS, CHAINS[0]])
    trunk.batch(CHAINS)
    list(trunk.final_states(CHAINS))
    assert trunk.passes == 3
    trunk.ensure(["QQQ"])
    assert trunk.passes == 4


def test_residues_are_marked_apart_from_special_tokens_padding_and_what_is_truncated(encoder):
    states = FrozenTrunk(encoder, 1).batch(CHAINS)
    assert states.seen == (8, 4, 6)
    assert states.mask.sum(dim=1).tolist() == [10, 6, 8]
    assert states.residues[1].tolist() == [False, True, True, True, True, False, False, False, False, False]


def test_final_states_are_those_of_the_whole_model(encoder):
    ids = torch.tensor([encoder.tokenizer.encode(CHAINS[2], 8).ids])
    whole = encoder.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    for split in (0, 1, 3):
        states = dict(FrozenTrunk(encoder, split).final_states(CHAINS))[CHAINS[2]]
        torch.testing.assert_close(states, whole[0, 1:-1].detach(), atol=1e-5, rtol=0)


def test_last_states_are_kept_only_when_asked_and_while_they_fit(encoder, monkeypatch):
    trunk = FrozenTrunk(encoder, 1)
    first = dict(trunk.final_states(CHAINS, keep=True))
    again = dict(trunk.final_states(CHAINS[::-1]))
    assert all(again[chain] is first[chain] for chain in CHAINS)
    monkeypatch.setattr("ab_assets.training.trunk._KEPT_BYTES", 0)
    full = FrozenTrunk(encoder, 1)
    one, other = (dict(full.final_states(CHAINS, keep=True)) for _ in range(2))
    assert all(one[chain] is not other[chain] and torch.equal(one[chain], other[chain]) for chain in CHAINS)


def test_progress_counts_chains(encoder):
    said = []
    FrozenTrunk(encoder, 1, progress=lambda *what: said.append(what)).ensure(CHAINS)
    assert said == [("frozen layers", 3, 3)]
