"""Vectors come back as they were kept, and one more antibody rewrites nothing."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ab_assets.artifacts.items import ItemStore, sequence_digest

FLOATS = st.floats(width=32, allow_nan=False)


@pytest.fixture
def items(tmp_path):
    return ItemStore(tmp_path / "esm2-8m")


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.text("ACDEFGHIKLMNPQRSTVWY", min_size=1), arrays(np.float32, 5, elements=FLOATS), max_size=6))
def test_what_was_put_comes_back_bit_for_bit(tmp_path_factory, vectors):
    items = ItemStore(tmp_path_factory.mktemp("items"))
    items.put(vectors)
    found = items.get(vectors)
    assert found.keys() == vectors.keys()
    assert all(found[sequence].tobytes() == vectors[sequence].tobytes() for sequence in vectors)


def test_only_what_is_kept_is_returned(items):
    items.put({"EVQL": np.ones(3, np.float32)})
    assert list(items.get(["EVQL", "QVQL"])) == ["EVQL"]
    assert items.get([]) == {}


def test_nothing_is_kept_before_the_first_put(items):
    assert items.get(["EVQL"]) == {}


def test_putting_nothing_makes_no_file(items):
    items.put({})
    assert not items.folder.exists()


def test_one_new_antibody_leaves_what_was_kept_as_it_was(items):
    items.put({"EVQL": np.zeros(3, np.float32)})
    before = {path: path.read_bytes() for path in items.folder.iterdir()}
    items.put({"QVQL": np.ones(3, np.float32)})
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(items.folder.iterdir())) == 2
    assert set(items.get(["EVQL", "QVQL"])) == {"EVQL", "QVQL"}


def test_other_precisions_are_kept_as_float32(items):
    items.put({"EVQL": np.array([0.1, 2.0], np.float64)})
    vector = items.get(["EVQL"])["EVQL"]
    assert vector.dtype == np.float32
    assert vector.tolist() == np.array([0.1, 2.0], np.float32).tolist()


def test_two_models_do_not_share_vectors(tmp_path):
    one, two = ItemStore(tmp_path / "antiberty"), ItemStore(tmp_path / "esm2-8m")
    one.put({"EVQL": np.zeros(3, np.float32)})
    assert two.get(["EVQL"]) == {}


def test_a_segment_appears_whole_or_not_at_all(items, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        items.put({"EVQL": np.zeros(3, np.float32)})
    assert items.get(["EVQL"]) == {}


def test_a_segment_torn_by_a_kill_is_not_read(items):
    items.put({"EVQL": np.zeros(3, np.float32)})
    (items.folder / ".0f.parquet").write_bytes(b"PAR1 torn")
    assert set(items.get(["EVQL"])) == {"EVQL"}


def test_two_writers_of_one_vector_leave_it_readable(tmp_path):
    one, two = ItemStore(tmp_path), ItemStore(tmp_path)
    one.put({"EVQL": np.ones(3, np.float32)})
    two.put({"EVQL": np.ones(3, np.float32)})
    assert one.get(["EVQL"])["EVQL"].tolist() == [1, 1, 1]


def test_a_folder_named_like_a_pattern_is_one_folder(tmp_path):
    items = ItemStore(tmp_path / "esm[12]*")
    items.put({"EVQL": np.ones(3, np.float32)})
    assert set(items.get(["EVQL"])) == {"EVQL"}


@settings(deadline=None)
@given(st.lists(st.text("ACDX", max_size=6), unique=True, max_size=20))
def test_every_sequence_has_its_own_name(sequences):
    digests = {sequence_digest(sequence) for sequence in sequences}
    assert len(digests) == len(sequences)
    assert all(len(digest) == 32 for digest in digests)


def test_a_changed_byte_of_a_vector_is_never_read(items):
    kept = {f"S{index}": np.arange(64, dtype=np.float32) + index for index in range(50)}
    items.put(kept)
    [segment] = items.folder.iterdir()
    content = segment.read_bytes()
    for place in range(100, len(content), 997):
        segment.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        assert items.get(kept) == {}
        assert not segment.exists()
    items.put(kept)
    assert set(items.get(kept)) == set(kept)


def test_a_damaged_segment_does_not_hide_the_others(items):
    items.put({"EVQL": np.ones(3, np.float32)})
    (items.folder / f"{'0' * 64}.parquet").write_bytes(b"PAR1 something else")
    assert set(items.get(["EVQL"])) == {"EVQL"}
    assert len(list(items.folder.iterdir())) == 1


def test_vectors_may_be_changed_by_their_reader(items):
    items.put({"EVQL": np.ones(3, np.float32)})
    items.get(["EVQL"])["EVQL"][0] = 2
    assert items.get(["EVQL"])["EVQL"].tolist() == [1, 1, 1]


def test_who_reads_marks_the_folder_as_used(items):
    items.put({"EVQL": np.ones(3, np.float32)})
    os.utime(items.folder, (1, 1))
    items.get(["EVQL"])
    assert items.folder.stat().st_mtime > 1
