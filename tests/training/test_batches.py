import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ab_assets.training.batches import inference_batches, training_batches

lengths = st.lists(st.integers(1, 300), min_size=1, max_size=120)


@given(lengths, st.integers(1, 20), st.integers(0, 5))
def test_every_example_is_trained_on_once_per_epoch_in_batches_of_the_asked_size(sizes, batch_size, seed):
    batches = training_batches(sizes, batch_size, seed=seed, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))
    assert sorted(map(len, batches), reverse=True)[:-1] == [batch_size] * (len(batches) - 1)


def test_seed_and_epoch_alone_decide_the_order():
    sizes = list(range(100, 164))

    def order(seed, epoch):
        return [batch.tolist() for batch in training_batches(sizes, 4, seed=seed, epoch=epoch)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_similar_lengths_meet():
    sizes = np.random.default_rng(0).integers(80, 140, size=256)
    batches = training_batches(sizes.tolist(), 8, seed=1, epoch=0)
    padded = sum(sizes[batch].max() * len(batch) for batch in batches)
    assert padded < 1.08 * sizes.sum()


@given(lengths, st.integers(1, 1000))
def test_every_example_is_seen_once_within_the_token_budget(sizes, budget):
    batches = inference_batches(sizes, budget)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))
    assert all(len(b) == 1 or len(b) * max(sizes[i] for i in b) <= budget for b in batches)


def test_nothing_gives_no_batch():
    assert inference_batches([], 100) == []
