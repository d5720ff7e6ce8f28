import pytest
import torch

from ab_assets.models.loading import load_encoder
from ab_assets.models.twins import twin_spec
from ab_assets.training.heads import TunedModel, mean_over_residues
from ab_assets.training.recipe import Recipe
from ab_assets.training.trunk import FrozenTrunk

VH, VL = [("EVQLVESGG",), ("QVQL",)], [("DIQ",), ("EIVLTQ",)]


def tuned(encoder, task, split=1, **recipe):
    stack = encoder.trainable_copy(split)
    return TunedModel(stack, width=32, pooled=2, task=task, recipe=Recipe(**recipe)).eval()


@pytest.fixture
def encoder():
    return load_encoder(twin_spec("esm"))


def test_the_mean_is_over_residues_alone():
    hidden = torch.tensor([[[9.0], [1.0], [3.0], [9.0], [99.0]]])
    residues = torch.tensor([[False, True, True, False, False]])
    assert mean_over_residues(hidden, residues).tolist() == [[2.0]]


def test_an_antibody_gets_one_logit_from_its_chains_in_order(encoder):
    trunk = FrozenTrunk(encoder, 1)
    model = tuned(encoder, "antigen-specificity")
    with torch.no_grad():
        logits = model([trunk.batch(VH), trunk.batch(VL)])
        turned = model([trunk.batch(VL), trunk.batch(VH)])
    assert logits.shape == (2,)
    assert not torch.allclose(logits, turned)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_and_company_do_not_change_a_logit(encoder, pooling):
    trunk = FrozenTrunk(encoder, 1)
    model = tuned(encoder, "antigen-specificity", pooling=pooling)
    with torch.no_grad():
        together = model([trunk.batch(VH), trunk.batch(VL)])
        alone = model([trunk.batch(VH[1:]), trunk.batch(VL[1:])])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)


def test_every_residue_gets_one_logit(encoder):
    trunk = FrozenTrunk(encoder, 1)
    with torch.no_grad():
        assert tuned(encoder, "paratope")([trunk.batch(VH)]).shape == (9 + 4,)


@pytest.mark.parametrize(("split", "layers"), [(0, {"0", "1", "2"}), (2, {"2"}), (3, set())])
def test_exactly_the_last_layers_and_the_head_learn(encoder, split, layers):
    names = tuned(encoder, "paratope", split).trainable_weights()
    assert {name.split(".")[2] for name in names if ".layer." in name} == layers
    assert {"head.out.weight", "head.out.bias"} <= set(names)
    assert any("emb_layer_norm_after" in name for name in names) == bool(layers)
