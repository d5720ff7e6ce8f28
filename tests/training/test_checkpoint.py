import pytest
import torch

from ab_assets.errors import CorruptArtifactError, MissingArtifactError
from ab_assets.models.twins import twin_spec
from ab_assets.training.checkpoint import fill, read_record, write_record, write_tensors

SPEC = twin_spec("bert")


def record(**more):
    return {"model": SPEC.name, "identity": SPEC.identity(), **more}


def test_a_record_has_the_same_bytes_whatever_order_it_was_made_in(tmp_path):
    write_record(tmp_path / "a.json", record(x=1, y=0.5))
    write_record(tmp_path / "b.json", dict(reversed(record(x=1, y=0.5).items())))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_record(tmp_path / "a.json", SPEC) == record(x=1, y=0.5)


def test_an_absent_a_broken_and_a_foreign_record_are_told_apart(tmp_path):
    with pytest.raises(MissingArtifactError, match="no fit here"):
        read_record(tmp_path / "fit.json", SPEC)
    (tmp_path / "fit.json").write_text('{"identity"')
    with pytest.raises(CorruptArtifactError, match="no record of a fit"):
        read_record(tmp_path / "fit.json", SPEC)
    write_record(tmp_path / "fit.json", record())
    with pytest.raises(CorruptArtifactError, match="another model"):
        read_record(tmp_path / "fit.json", twin_spec("bert", seed=9))


def test_tensors_come_back_into_weights_of_the_same_names_and_shapes(tmp_path):
    write_tensors(tmp_path / "w.safetensors", {"a": torch.arange(3.0), "b": torch.eye(2).T})
    weights = {"a": torch.zeros(3), "b": torch.zeros(2, 2)}
    fill(weights, tmp_path / "w.safetensors")
    assert torch.equal(weights["a"], torch.arange(3.0))
    for other in ({"a": torch.zeros(3)}, {"a": torch.zeros(4), "b": torch.zeros(2, 2)}):
        with pytest.raises(CorruptArtifactError, match="do not fit"):
            fill(other, tmp_path / "w.safetensors")
