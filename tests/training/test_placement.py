import pytest
import torch

from ab_assets.errors import UnavailableError
from ab_assets.models.loading import load_encoder
from ab_assets.models.specification import RecipeTable
from ab_assets.models.twins import twin_spec
from ab_assets.training.placement import Devices, Shape, Training, demand, place

# layers and widths as published (Lin et al. 2023, table S1)
ESM2_15B = Shape("esm2-15b", 15_130_000_000, 48, 5120)
ESM2_3B = Shape("esm2-3b", 2_840_000_000, 36, 2560)
GB = 10**9


def cards(count, memory=80 * GB):
    return Devices("GPU", count, memory)


def test_a_layer_has_the_parameters_of_the_real_one():
    # 48 layers of 12 w² + 13 w, 33 tokens and a final norm are all of ESM-2 15B but its language-model head
    assert ESM2_15B.layer_parameters == 314_639_360
    encoder = 48 * 314_639_360 + 33 * 5120 + 2 * 5120
    assert encoder == pytest.approx(ESM2_15B.parameters, rel=2e-3)


def test_last_layers_of_esm2_15b_fit_one_card():
    placement = place(ESM2_15B, Training("last-layers", 3, 4096, "bf16"), cards(1))
    need = placement.demand
    assert (placement.stage, placement.processes, placement.pass_tokens) == (0, 1, 4096)
    assert need.frozen == 30_260_000_000  # 2 bytes of each parameter
    assert need.learned == need.gradients == 3_775_672_320  # 4 bytes of 943,918,080
    assert need.optimizer == 7_551_344_640
    # 62 bytes x 4096 tokens x 5120 x (3 + 1 layers), and the bf16 copies of what learns
    assert need.activations == 5_200_936_960 + 1_887_836_160
    assert placement.describe() == (
        "esm2-15b, last 3 layers: weights 30.3 GB bf16 + 3.8 GB fp32, gradients 3.8 GB, optimiser 7.6 GB, "
        "activations 7.1 GB = 52.5 GB of 80.0 GB on one GPU: no ZeRO, passes of 4,096 tokens"
    )


def test_all_of_esm2_3b_fit_one_card_in_smaller_passes():
    placement = place(ESM2_3B, Training("full", 36, 65536, "bf16"), cards(1))
    need = placement.demand
    assert placement.stage == 0
    assert placement.pass_tokens == 2048
    # beside the loaded model a copy that learns: 4 + 4 + 4 + 8 bytes
    assert need.frozen + need.learned + need.gradients + need.optimizer == 2_840_000_000 * 20
    assert need.total <= cards(1).usable


def test_the_first_way_that_fits_is_taken():
    training = Training("full", 36, 4096, "bf16")
    # without passes: weights 4 bytes + gradients 4 or 4/n + moments 8/n, and 2 of autocast's copies
    stages = {memory: place(ESM2_3B, training, cards(4, memory * GB)).stage for memory in (80, 45, 36, 24)}
    assert stages == {80: 0, 45: 1, 36: 2, 24: 3}
    for memory, stage in stages.items():
        assert place(ESM2_3B, training, cards(4, memory * GB)).demand.total <= cards(4, memory * GB).usable
        if stage > 1:
            with pytest.raises(UnavailableError):
                place(ESM2_3B, training, cards(4, memory * GB), stage=stage - 1)


def test_stages_divide_what_they_say():
    training = Training("full", 48, 8192, "bf16")
    alone, first, second, third = (
        demand(ESM2_15B, training, stage=stage, processes=8, pass_tokens=1024) for stage in range(4)
    )
    assert [one.optimizer for one in (first, second, third)] == [alone.optimizer // 8] * 3
    assert [one.gradients for one in (first, second, third)] == [alone.gradients, *[alone.gradients // 8] * 2]
    assert [one.learned for one in (first, second, third)] == [alone.learned, alone.learned, alone.learned // 8]
    assert third.buffers > second.buffers > alone.buffers == 0


def test_frozen_weights_are_shared_under_stage_3_only():
    training = Training("last-layers", 3, 8192, "bf16")
    second, third = (demand(ESM2_15B, training, stage=s, processes=4, pass_tokens=1024) for s in (2, 3))
    assert second.frozen == (15_130_000_000 - 943_918_080) * 2
    assert third.frozen == second.frozen / 4


def test_a_batch_is_divided_among_ranks():
    assert place(ESM2_3B, Training("full", 36, 8192, "bf16"), cards(4), stage=3).pass_tokens == 2048


def test_what_does_not_fit_says_what_is_missing():
    with pytest.raises(UnavailableError, match="esm2-15b, all layers, does not fit") as caught:
        place(ESM2_15B, Training("full", 48, 4096, "bf16"), cards(2))
    message = str(caught.value)
    assert "2 GPUs with 75.0 GB usable each" in message
    assert "GB are missing" in message
    assert "5 such GPUs would do with ZeRO-3." in message
    assert '"last-layers" or "lora"' in message


def test_the_number_of_devices_it_names_suffices():
    place(ESM2_15B, Training("full", 48, 4096, "bf16"), cards(5))
    with pytest.raises(UnavailableError):
        place(ESM2_15B, Training("full", 48, 4096, "bf16"), cards(4))


def test_adapters_take_a_gradient_of_almost_nothing():
    need = place(ESM2_15B, Training("lora", 48, 1024, "bf16", lora_rank=8), cards(1)).demand
    assert need.gradients == 48 * 3 * 2 * 5120 * 8 * 4
    assert need.frozen == 2 * ESM2_15B.parameters


def test_states_are_kept_only_where_frozen_layers_never_change():
    kept = {"precision": "fp32", "batch_tokens": 1024, "cached_tokens": 1000}
    assert Training.of(RecipeTable(), 6, **kept) == Training("last-layers", 3, 1024, "fp32", 8, 1000)
    assert Training.of(RecipeTable(method="full"), 6, **kept).cached_tokens == 0
    assert Training.of(RecipeTable(method="lora"), 6, **kept).cached_tokens == 0
    assert Training.of(RecipeTable(frozen_dropout=True), 6, **kept).cached_tokens == 0
    placement = place(Shape("tiny", 10**6, 6, 64), Training.of(RecipeTable(), 6, **kept), Devices("CPU", 1, GB))
    assert placement.demand.cached == 1000 * 64 * 4
    assert placement.describe().endswith("states of frozen layers 0.3 MB on disk")


@pytest.mark.parametrize("family", ["bert", "esm"])
def test_reckoned_bytes_are_those_of_a_real_update(family):
    encoder = load_encoder(twin_spec(family, layers=3, hidden=128))
    stack = encoder.trainable_copy(1)
    parameters = sum(p.numel() for p in encoder.model.parameters())
    shape = Shape("tiny", parameters, 3, 128)
    need = demand(shape, Training("last-layers", 2, 512), stage=0, processes=1, pass_tokens=512)
    weights = [p for p in stack.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights)
    stack(torch.randn(4, 128, 128), torch.ones(4, 128, dtype=torch.bool)).sum().backward()
    optimizer.step()
    assert need.frozen == 4 * parameters
    assert need.learned == pytest.approx(sum(w.nbytes for w in weights), rel=0.01)
    assert need.gradients == pytest.approx(sum(w.grad.nbytes for w in weights if w.grad is not None), rel=0.01)
    moments = [t for state in optimizer.state.values() for t in state.values()]
    assert need.optimizer == pytest.approx(sum(t.nbytes for t in moments), rel=0.01)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["bert", "esm", "esmc"])
def test_reckoned_activations_suffice_for_what_layers_save(family, precision):
    saved = [_saved_bytes(family, layers, precision) for layers in (1, 2)]
    shape = Shape("tiny", 10**6, 3, 256, family)
    needs = [
        demand(shape, Training("last-layers", n, 1000, precision), stage=0, processes=1, pass_tokens=1000)
        for n in (1, 2)
    ]
    assert 0.95 < (needs[1].activations - needs[0].activations) / (saved[1] - saved[0]) < 1.3


def _saved_bytes(family, layers, precision):
    stack = load_encoder(twin_spec(family, layers=3, hidden=256)).trainable_copy(3 - layers)
    own = {p.untyped_storage().data_ptr() for p in stack.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    states, mask = torch.randn(4, 250, 256), torch.ones(4, 250, dtype=torch.bool)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"),
    ):
        stack(states, mask)
    return sum(size for size, _ in kept.values())
