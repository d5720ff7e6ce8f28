"""What every family of models must hold, each with a tiny twin of transformers' classes; AntiBERTy with its weights."""

from dataclasses import dataclass

import pytest
import torch

from ab_assets.models.availability import directory_digest
from ab_assets.models.catalogue import load_catalogue
from ab_assets.models.encoders import LayerStack, WholeStack
from ab_assets.models.families import FAMILIES, part
from ab_assets.models.loading import load_encoder
from ab_assets.models.specification import LocalSource, ModelSpec
from ab_assets.models.twins import twin_config, twin_spec, twin_tokens

VH = "EVQLVESGGXGLVQPGGSLRLSCAASGFTFS"
VL = "DIQMTQSPSSLSASVGDRV"
TEXTS = ((VH,), ("QVQL",), (VL,), (VH, VL), ("QV", "DIQMTXQ"))
EXACT = {"atol": 1e-5, "rtol": 0.0}


@dataclass(frozen=True)
class Subject:
    spec: ModelSpec
    encoder: object


def twin(family, **options):
    return twin_spec(family, max_length=60, **options)


SPECS = {
    **{family: twin(family) for family in FAMILIES},
    "esm-learned-positions": twin("esm", learned_positions=True),
    "antiberty": load_catalogue()["antiberty"],
}
TWINS = [name for name in SPECS if name != "antiberty"]


@pytest.fixture(scope="module")
def loaded():
    made = {}
    return lambda name: made.setdefault(name, Subject(SPECS[name], with_norms_that_show(load_encoder(SPECS[name]))))


@pytest.fixture(params=SPECS)
def subject(request, loaded):
    return loaded(request.param)


@pytest.fixture
def encoder(subject):
    return subject.encoder


def with_norms_that_show(encoder):
    # a norm that is applied twice or never would go unseen with its initial weights
    generator = torch.Generator().manual_seed(1)
    path = FAMILIES[encoder.family].final_norm
    if path is not None:
        part(encoder.model, path).weight.data.uniform_(0.5, 2, generator=generator)
    return encoder


def encoded(encoder, text, max_length=None):
    return encoder.tokenizer.encode(text, max_length or encoder.max_length, encoder.pairing)


def padded(encoder, texts, extra=0):
    rows = [list(encoded(encoder, text).ids) for text in texts]
    longest = max(map(len, rows)) + extra
    ids = torch.tensor([row + [encoder.tokenizer.pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])
    return ids, mask


def run(encoder, ids, mask, split=1):
    with torch.inference_mode():
        hidden = encoder.run_layers(encoder.embed(ids, mask), mask, start=0, stop=split)
        return encoder.run_layers(hidden, mask, start=split, stop=encoder.layer_count)


def states(encoder, text):
    ids, mask = padded(encoder, [text])
    return run(encoder, ids, mask)[0]


def splits(encoder):
    return sorted({0, 1, encoder.layer_count - 1, encoder.layer_count})


# residues and tokens


def test_a_changed_residue_changes_the_state_before_the_first_layer_at_its_own_token_only(encoder):
    before, mask = padded(encoder, [(VH, VL)])
    for chain, sequence in enumerate((VH, VL)):
        span = encoded(encoder, (VH, VL)).chains[chain]
        for index in (0, 7, len(sequence) - 1):
            changed = sequence[:index] + ("W" if sequence[index] != "W" else "A") + sequence[index + 1 :]
            after, _ = padded(encoder, [(changed, VL) if chain == 0 else (VH, changed)])
            with torch.inference_mode():
                moved = (encoder.embed(before, mask) - encoder.embed(after, mask)).abs().amax(dim=-1)[0]
            assert moved.nonzero().flatten().tolist() == [span.start + index]


def test_without_attention_a_changed_residue_changes_its_own_state_only(subject):
    encoder = load_encoder(subject.spec)
    for name, weight in encoder.model.named_parameters():
        if "attention.output.dense" in name or "o_proj" in name:
            weight.data.zero_()  # what tokens tell each other is forgotten
    whole = states(encoder, (VH, VL))
    spans = encoded(encoder, (VH, VL)).chains
    for index in (0, 11, len(VH) - 1):
        changed = VH[:index] + ("W" if VH[index] != "W" else "A") + VH[index + 1 :]
        moved = (states(encoder, (changed, VL)) - whole).abs().amax(dim=-1)
        assert moved.nonzero().flatten().tolist() == [spans[0].start + index]


def test_an_unknown_residue_takes_one_token_and_moves_no_neighbour(encoder):
    known, unknown = "ACDEFGHIK", "ACDEJGHIK"
    one, other = (encoded(encoder, (chain,)) for chain in (known, unknown))
    assert len(one.ids) == len(other.ids)
    assert one.chains[0].start == other.chains[0].start
    assert [a == b for a, b in zip(one.ids, other.ids, strict=True)].count(False) == 1
    assert other.ids[other.chains[0].start + 4] == encoder.tokenizer.unknown
    assert other.chains[0].unknown == 1


def test_a_pair_has_its_separators_and_spans_in_both_orders(encoder):
    for order in ("HL", "LH"):
        pairing = encoder.pairing.model_copy(update={"order": order})
        text = encoder.tokenizer.encode((VH, VL), 60, pairing)
        for sequence, chain in zip((VH, VL), text.chains, strict=True):
            body = text.ids[chain.start : chain.stop]
            assert body == tuple(encoder.tokenizer.encode((sequence,), 60).ids[1:-1])
        first, second = sorted(text.chains, key=lambda chain: chain.start)
        assert (first is text.chains[0]) == (order == "HL")
        between = second.start - first.stop
        assert between == max(1, len(pairing.separator)) + len(pairing.marks) // 2


def test_chains_that_do_not_share_a_pass_have_the_states_of_each_alone(encoder):
    ids, mask = padded(encoder, [(VH,), (VL,)])
    together = run(encoder, ids, mask)
    for row, chain in enumerate((VH, VL)):
        alone = states(encoder, (chain,))
        torch.testing.assert_close(together[row, : len(alone)], alone, **EXACT)


def test_chains_that_share_a_pass_see_each_other(encoder):
    start = encoded(encoder, (VH, VL)).chains[0].start
    one, other = (states(encoder, (VH, light))[start] for light in (VL, VL[:-1] + "W"))
    assert (one - other).abs().max() > 1e-4


def test_truncation_is_counted_and_shifts_nothing(encoder):
    cut = encoder.tokenizer.encode((VH, VL), 24, encoder.pairing)
    assert [(chain.seen, chain.truncated) for chain in cut.chains] == [(12, len(VH) - 12), (12, len(VL) - 12)]
    assert cut.ids == encoder.tokenizer.encode((VH[:12], VL[:12]), 24, encoder.pairing).ids
    single = encoder.tokenizer.encode((VH,), 10)
    assert single.ids == encoder.tokenizer.encode((VH[:10],), 10).ids
    assert (single.chains[0].seen, single.chains[0].truncated) == (10, len(VH) - 10)


def test_a_text_of_the_maximum_length_fits(encoder):
    half = encoder.max_length // 2
    longest = [("A" * encoder.max_length,), ("A" * half, "G" * (half - len(encoder.pairing.separator) - 1))]
    assert run(encoder, *padded(encoder, longest)).isfinite().all()


# batches


def test_batch_size_order_and_padding_do_not_change_a_state(encoder):
    ids, mask = padded(encoder, TEXTS)
    together = run(encoder, ids, mask)
    for index, text in enumerate(TEXTS):
        length = int(mask[index].sum())
        for extra in (0, 7):
            alone = run(encoder, *padded(encoder, [text], extra))
            torch.testing.assert_close(alone[0, :length], together[index, :length], **EXACT)
    reverse = run(encoder, ids.flip(0), mask.flip(0)).flip(0)
    torch.testing.assert_close(reverse[mask], together[mask], **EXACT)


def test_no_mask_means_that_nothing_is_padded(encoder):
    ids, mask = padded(encoder, [(VH,)])
    torch.testing.assert_close(run(encoder, ids, None), run(encoder, ids, mask), **EXACT)


# parts


def test_running_in_parts_gives_what_transformers_forward_gives(encoder):
    ids, mask = padded(encoder, TEXTS)
    with torch.inference_mode():
        whole = encoder.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    for split in splits(encoder):
        torch.testing.assert_close(run(encoder, ids, mask, split)[mask], whole[mask], **EXACT)


@pytest.mark.parametrize("batch", [TEXTS, TEXTS[:1]], ids=["padded", "unpadded"])
def test_the_first_token_alone_has_the_state_and_the_gradients_of_the_full_result(encoder, batch):
    ids, mask = padded(encoder, batch)
    for start in splits(encoder):
        with torch.no_grad():
            hidden = encoder.run_layers(encoder.embed(ids, mask), mask, start=0, stop=start)
        stack = encoder.trainable_copy(start)
        direction = torch.randn(len(batch), 1, encoder.width, generator=torch.Generator().manual_seed(0))
        made = []
        for first_only in (False, True):
            leaf = hidden.clone().requires_grad_()
            result = stack(leaf, mask, first_only=first_only)[:, :1]
            weights = list(stack.named_weights().values())
            gradients = torch.autograd.grad((result * direction).sum(), [leaf, *weights], allow_unused=True)
            made.append([result, *(torch.zeros(1) if one is None else one for one in gradients)])
        for full, alone in zip(*made, strict=True):
            scale = max(1.0, float(full.detach().abs().max()))
            torch.testing.assert_close(alone, full, atol=1e-5 * scale, rtol=0.0)


def test_the_first_token_alone_is_computed_for_every_family_that_promises_it(encoder):
    ids, mask = padded(encoder, TEXTS)
    stack = encoder.stack(encoder.layer_count - 1, encoder.layer_count)
    seen = []
    linear = [module for module in stack.modules() if isinstance(module, torch.nn.Linear)]
    with torch.inference_mode():
        hidden = encoder.run_layers(encoder.embed(ids, mask), mask, start=0, stop=stack.start)
        hooks = [one.register_forward_hook(lambda m, args, out: seen.append(args[0].shape[1])) for one in linear]
        stack(hidden, mask, first_only=True)
    for hook in hooks:
        hook.remove()
    if FAMILIES[encoder.family].first_alone:
        assert sorted(seen) == [1, 1, 1, 1, ids.shape[1], ids.shape[1]]  # all but keys and values
    else:
        assert set(seen) == {ids.shape[1]}


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_bf16_gives_the_first_token_alone_as_in_the_full_result(subject, how):
    half = how == "weights"
    encoder = load_encoder(subject.spec, dtype=torch.bfloat16) if half else subject.encoder
    ids, mask = padded(encoder, TEXTS)
    stack = encoder.stack(0, encoder.layer_count)
    usual, encoder.precision = encoder.precision, "fp32" if half else "bf16"
    with torch.inference_mode(), encoder.autocast():
        hidden = encoder.embed(ids, mask)
        full, alone = stack(hidden, mask)[:, :1], stack(hidden, mask, first_only=True)
    encoder.precision = usual
    assert alone.dtype == full.dtype
    similar = torch.nn.functional.cosine_similarity(full.float(), alone.float(), dim=-1)
    assert similar.min() > 0.999


def test_recorded_attention_is_complete_and_changes_no_state(encoder):
    ids, mask = padded(encoder, TEXTS)
    stack = encoder.stack(0, encoder.layer_count)
    with torch.inference_mode():
        hidden = encoder.embed(ids, mask)
        fused = stack(hidden, mask)
        with stack.recorded_attention() as recorded:
            eager = stack(hidden, mask)
        with stack.recorded_attention() as again:
            first = stack(hidden, mask, first_only=True)
        with stack.recorded_attention() as nothing:
            pass
    heads = encoder.model.config.num_attention_heads
    shape = (len(TEXTS), heads, ids.shape[1], ids.shape[1])
    assert [tuple(one.shape) for one in recorded] == [shape] * encoder.layer_count
    assert [tuple(one.shape) for one in again] == [shape] * encoder.layer_count
    assert nothing == []
    for weights in recorded:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]), atol=1e-5, rtol=0)
        assert weights.transpose(1, 3)[~mask].abs().max() < 1e-6
    torch.testing.assert_close(eager[mask], fused[mask], **EXACT)
    torch.testing.assert_close(first, fused[:, :1], **EXACT)


def test_an_encoder_says_its_shape(encoder):
    ids, mask = padded(encoder, TEXTS)
    assert run(encoder, ids, mask).shape == (len(TEXTS), ids.shape[1], encoder.width)
    assert encoder.layer_count == encoder.model.config.num_hidden_layers
    assert encoder.device.type == "cpu"


# what learns


def expected_names(encoder, start, *, embeddings):
    parts = FAMILIES[encoder.family]
    layers = [f"{parts.layers}.{index}." for index in range(start, encoder.layer_count)]
    norm = [f"{parts.final_norm}."] if parts.final_norm and start < encoder.layer_count else []
    front = [f"{name}." for name in parts.embeddings] if embeddings else []
    prefixes = tuple(layers + norm + front)
    return {name for name, _ in encoder.model.named_parameters() if prefixes and name.startswith(prefixes)}


def test_exactly_the_layers_from_the_split_on_learn_by_name(encoder):
    for start in splits(encoder):
        copy = encoder.trainable_copy(start)
        learning = {name for name, weight in copy.named_weights().items() if weight.requires_grad}
        assert learning == expected_names(encoder, start, embeddings=False)
        assert len(list(copy.parameters())) == len(learning)
        assert type(copy) is LayerStack


def test_embeddings_learn_too_when_asked(encoder):
    copy = encoder.trainable_copy(0, embeddings=True)
    learning = {name for name, weight in copy.named_weights().items() if weight.requires_grad}
    assert learning == expected_names(encoder, 0, embeddings=True)
    assert len(list(copy.parameters())) == len(learning)
    assert isinstance(copy, WholeStack)
    ids, mask = padded(encoder, TEXTS)
    made = copy(copy.embed(ids, mask), mask)
    torch.testing.assert_close(made[mask], run(encoder, ids, mask)[mask], **EXACT)
    made[mask].square().sum().backward()
    front = [w for name, w in copy.named_weights().items() if name.startswith(FAMILIES[encoder.family].embeddings)]
    assert all(weight.grad is not None for weight in front)


def test_embeddings_do_not_learn_without_the_layers_after_them(encoder):
    with pytest.raises(ValueError, match="embeddings learn with all layers"):
        encoder.trainable_copy(1, embeddings=True)


def test_a_trainable_copy_learns_alone(encoder):
    before = {name: weight.clone() for name, weight in encoder.model.state_dict().items()}
    for copy in (encoder.trainable_copy(1), encoder.trainable_copy(0, embeddings=True)):
        with torch.no_grad():
            for weight in copy.parameters():
                weight.add_(1)
    assert not any(weight.requires_grad for weight in encoder.model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.model.state_dict().items())


def test_a_stacks_weights_are_those_of_the_whole_model(encoder):
    whole = dict(encoder.model.named_parameters())
    named = encoder.stack(1, encoder.layer_count).named_weights()
    assert named
    assert all(whole[name] is weight for name, weight in named.items())


# saving


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("vocabulary", ["vocab.txt", "vocab.json"])
def test_what_transformers_saves_loads_to_the_same_bits(name, vocabulary, tmp_path, loaded):
    import json

    import transformers

    spec, encoder = loaded(name).spec, loaded(name).encoder
    family = spec.family
    masked = getattr(transformers, FAMILIES[family].model.replace("Model", "ForMaskedLM"))
    config = getattr(transformers, FAMILIES[family].config)
    whole = masked(config(**twin_config(family, spec.source, spec.max_length)))
    getattr(whole, family).load_state_dict(encoder.model.state_dict(), strict=False)
    whole.save_pretrained(tmp_path)
    tokens = twin_tokens(family)
    text = "\n".join(tokens) if vocabulary == "vocab.txt" else json.dumps({t: i for i, t in enumerate(tokens)})
    (tmp_path / vocabulary).write_text(text, encoding="utf-8")
    source = LocalSource(kind="local", directory=str(tmp_path), revision=directory_digest(tmp_path))
    again = load_encoder(spec.model_copy(update={"source": source}))
    ids, mask = padded(encoder, TEXTS)
    assert torch.equal(run(again, ids, mask), run(encoder, ids, mask))
    with torch.inference_mode():
        theirs = getattr(whole.eval(), family)(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(run(again, ids, mask)[mask], theirs[mask], **EXACT)
