import os
import time

import numpy as np
import pytest
import torch

from ab_assets.training import states
from ab_assets.training.states import StateStore

TEXTS = [("QVQ",), ("QVQ", "DI"), ("EVQLV",)]


def made(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return {text: torch.randn(sum(map(len, text)) + 2, 8, generator=generator).to(dtype) for text in TEXTS}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("folder", [None, "kept"])
def test_states_come_back_bit_for_bit_and_others_not_at_all(folder, dtype, tmp_path):
    store = StateStore(tmp_path / folder if folder else None)
    store.put(made(dtype))
    for text, rows in made(dtype).items():
        assert torch.equal(store.get(text), rows)
        assert store.get(text).dtype == dtype
    assert store.get(("QVQDI",)) is None
    assert store.get(("DI", "QVQ")) is None


def test_a_later_process_reads_what_an_earlier_one_kept(tmp_path):
    first = StateStore(tmp_path)
    everything = made()
    first.put({text: everything[text] for text in TEXTS[:2]})
    first.put({text: everything[text] for text in TEXTS[2:]})
    later = StateStore(tmp_path)
    assert all(torch.equal(later.get(text), rows) for text, rows in everything.items())


@pytest.mark.parametrize("seed", range(40))
def test_damaged_states_are_never_read(seed, tmp_path):
    StateStore(tmp_path).put(made())
    generator = np.random.default_rng(seed)
    file = generator.choice(sorted(tmp_path.iterdir()))
    content = bytearray(file.read_bytes())
    place = int(generator.integers(len(content)))
    if seed % 2:
        content[place] ^= 1 << int(generator.integers(8))
    else:
        del content[place:]
    file.write_bytes(content)
    for text, rows in made().items():
        found = StateStore(tmp_path).get(text)
        assert found is None or torch.equal(found, rows)
    assert any(StateStore(tmp_path).get(text) is None for text in TEXTS)


def test_what_was_damaged_can_be_kept_again(tmp_path):
    StateStore(tmp_path).put(made())
    (rows,) = tmp_path.glob("*.states")
    rows.write_bytes(bytes(rows.stat().st_size))
    store = StateStore(tmp_path)
    assert all(store.get(text) is None for text in TEXTS)
    store.put(made())
    for reader in (store, StateStore(tmp_path)):
        assert all(torch.equal(reader.get(text), made()[text]) for text in TEXTS)


def test_an_interrupted_save_leaves_nothing_that_is_read(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        StateStore(tmp_path).put(made())
    monkeypatch.undo()
    assert all(StateStore(tmp_path).get(text) is None for text in TEXTS)


def test_beyond_the_limit_the_states_read_least_recently_go_first(tmp_path, monkeypatch):
    old, new = StateStore(tmp_path / "old"), StateStore(tmp_path / "new")
    old.put(made())
    monkeypatch.setenv(states.CACHE_LIMIT, str(500 / (1 << 30)))
    new.put(made())
    assert all(StateStore(tmp_path / "old").get(text) is None for text in TEXTS)
    assert all(StateStore(tmp_path / "new").get(text) is not None for text in TEXTS)
    assert old.get(TEXTS[0]) is not None  # mapped already: the run that reads them goes on


def test_what_a_killed_process_began_is_gone_a_day_later(tmp_path):
    folder = tmp_path / "one"
    StateStore(folder).put(made())
    (folder / ".old").write_bytes(b"x")
    (folder / ".new").write_bytes(b"x")
    yesterday = time.time() - 25 * 3600
    os.utime(folder / ".old", (yesterday, yesterday))
    StateStore(tmp_path / "two").put(made())
    assert [file.name for file in folder.glob(".*")] == [".new"]
