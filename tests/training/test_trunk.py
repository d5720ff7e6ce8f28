import numpy as np
import pytest
import torch

from ab_assets.models.loading import load_encoder
from ab_assets.models.specification import Pairing
from ab_assets.models.twins import twin_spec
from ab_assets.training.states import StateStore
from ab_assets.training.trunk import FrozenTrunk

CHAINS = [("EVQLVESGG",), ("QVQL",), ("DIQMTQ",)]


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
    trunk.ensure([("QQQ",)])
    assert trunk.passes == 4


def test_residues_are_marked_apart_from_special_tokens_padding_and_what_is_truncated(encoder):
    states = FrozenTrunk(encoder, 1).batch(CHAINS)
    assert states.seen.tolist() == [[8], [4], [6]]
    assert states.mask.sum(dim=1).tolist() == [10, 6, 8]
    assert states.residues(0)[1].tolist() == [False, True, True, True, True, False, False, False, False, False]
    assert states.residue_index().tolist() == [*range(1, 9), *range(11, 15), *range(21, 27)]


def test_final_states_are_those_of_the_whole_model(encoder):
    ids = torch.tensor([encoder.tokenizer.encode(CHAINS[2], 8).ids])
    whole = encoder.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    for split in (0, 1, 3):
        (states,) = dict(FrozenTrunk(encoder, split).final_states(CHAINS))[CHAINS[2]]
        torch.testing.assert_close(states, whole[0, 1:-1].detach(), atol=1e-5, rtol=0)


def test_last_states_are_kept_only_when_asked_and_while_they_fit(encoder, monkeypatch):
    trunk = FrozenTrunk(encoder, 1)
    first = dict(trunk.final_states(CHAINS, keep=True))
    runs = []
    run_layers = encoder.run_layers
    monkeypatch.setattr(encoder, "run_layers", lambda *args, **kw: runs.append(kw) or run_layers(*args, **kw))
    again = dict(trunk.final_states(CHAINS[::-1]))
    assert runs == []
    assert all(torch.equal(again[chain][0], first[chain][0]) for chain in CHAINS)
    monkeypatch.setattr("ab_assets.training.trunk._FINAL_BYTES", 0)
    full = FrozenTrunk(encoder, 1)
    one, other = (dict(full.final_states(CHAINS, keep=True)) for _ in range(2))
    assert len(runs) >= 2
    assert all(torch.equal(one[chain][0], other[chain][0]) for chain in CHAINS)


@pytest.mark.parametrize("order", ["HL", "LH"])
def test_a_pairs_residues_are_told_apart_in_the_order_of_the_text(encoder, order):
    pairing = Pairing(order=order)
    pair = ("EVQ", "DIQL")
    encoder.pairing = pairing
    states = FrozenTrunk(encoder, 1).batch([pair, ("QVQ",)])
    ids = encoder.tokenizer.encode(pair, 8, pairing).ids
    for chain, sequence in enumerate(pair):
        marked = [token for token, ours in zip(ids, states.residues(chain)[0].tolist(), strict=False) if ours]
        assert marked == list(encoder.tokenizer.encode((sequence,), 8).ids[1:-1])
    assert states.seen.tolist() == [[3, 4], [3, 0]]
    assert len(states.residue_index()) == 10


def test_what_a_texts_states_are_to_the_last_bit_follows_from_the_text(encoder):
    generator = np.random.default_rng(1)
    texts = [("".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), size=n)),) for n in generator.integers(3, 9, 60)]
    together = FrozenTrunk(encoder, 2)
    together.ensure(texts)
    for text in texts[::7]:
        alone = FrozenTrunk(encoder, 2)
        assert torch.equal(alone.batch([text]).hidden, together.batch([text]).hidden)


def test_states_on_disk_are_not_made_again(encoder, tmp_path):
    first = FrozenTrunk(encoder, 1, store=StateStore(tmp_path))
    made = first.batch(CHAINS).hidden
    again = FrozenTrunk(encoder, 1, store=StateStore(tmp_path))
    assert torch.equal(again.batch(CHAINS).hidden, made)
    assert (first.passes, again.passes) == (3, 0)


def test_progress_counts_chains(encoder):
    said = []
    FrozenTrunk(encoder, 1, progress=lambda *what: said.append(what)).ensure(CHAINS)
    assert said[-1] == ("frozen layers", 3, 3)


@pytest.mark.parametrize("context", ["separate", "joined"])
@pytest.mark.parametrize("residues", range(4, 12))
def test_a_pair_is_cut_only_where_the_model_has_no_room(context, residues):
    pairing = Pairing(context=context, separator=("<cls>", "<cls>"))
    trunk = FrozenTrunk(load_encoder(twin_spec("esm", max_length=8).model_copy(update={"pairing": pairing})), 1)
    limit = 6 if context == "separate" else 8
    text = ("Q" * (residues // 2), "D" * (residues - residues // 2))
    assert sum(chain.seen for chain in trunk.tokenized(text).chains) == min(residues, limit)
    assert trunk.residue_limit(2) == limit
    assert trunk.residue_limit(1) == 8


@pytest.mark.parametrize("limit", [8, 16])
def test_where_memory_does_not_suffice_fewer_chains_pass_together(encoder, limit, monkeypatch):
    whole = FrozenTrunk(encoder, 1)
    expected, last = whole.batch(CHAINS).hidden, dict(whole.final_states(CHAINS))
    run_layers = encoder.run_layers

    def limited(hidden, *args, **kw):
        if hidden.shape[:2].numel() > limit:
            raise torch.OutOfMemoryError
        return run_layers(hidden, *args, **kw)

    monkeypatch.setattr(encoder, "run_layers", limited)
    said = []
    trunk = FrozenTrunk(encoder, 1, progress=lambda *what: said.append(what[0]))
    if limit == 8:  # not enough for one
        with pytest.raises(torch.OutOfMemoryError):
            trunk.ensure(CHAINS)
        return
    assert torch.equal(trunk.batch(CHAINS).hidden, expected)
    for text, (states,) in trunk.final_states(CHAINS):
        torch.testing.assert_close(states, last[text][0], atol=1e-5, rtol=0)
    assert "out of memory: 1024 tokens at a time" in said
    assert trunk.passes == 3
