import json

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from ab_assets.errors import BadInputError, CorruptArtifactError, UnavailableError, UnreadableFileError
from ab_assets.models.availability import availability, directory_digest, obtain_files, require_available
from ab_assets.models.catalogue import load_catalogue
from ab_assets.models.specification import LocalSource
from ab_assets.models.twins import twin_spec

FILES = ("config.json", "model.safetensors", "vocab.txt")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def esm():
    return load_catalogue()["esm2-8m"]


def put_files(folder):
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def local_spec(folder, revision):
    source = LocalSource(kind="local", directory=str(folder), revision=revision)
    return twin_spec("bert").model_copy(update={"name": "mine", "source": source})


def unpinned(spec, **more):
    return spec.model_copy(update={"source": spec.source.model_copy(update={"revision": "", **more})})


def test_a_twin_and_the_installed_antiberty_are_available():
    assert availability(twin_spec("esm")).available
    found = require_available(load_catalogue()["antiberty"])
    assert found.missing_files == ()
    assert found.download_bytes is None


def test_antibertys_weight_file_is_the_pinned_one():
    files = obtain_files(load_catalogue()["antiberty"])
    assert all(file.is_file() for file in (files.config, files.vocabulary, *files.weights))


def test_an_absent_hub_model_names_the_files_and_their_place(hub, esm):
    found = availability(esm)
    assert (found.available, found.missing_files) == (False, FILES)
    assert found.download_bytes == 4 * esm.parameters
    with pytest.raises(UnavailableError, match=r"model\.safetensors") as caught:
        require_available(esm)
    assert esm.source.revision in str(caught.value)
    assert str(hub) in str(caught.value)


def test_files_put_where_the_message_says_make_a_hub_model_available(hub, esm):
    folder = put_files(hub / "models--facebook--esm2_t6_8M_UR50D" / "snapshots" / esm.source.revision)
    assert require_available(esm).available
    assert obtain_files(esm).weights == (folder / "model.safetensors",)


def test_a_failed_download_is_told_as_missing_files(hub, esm, monkeypatch):
    def offline(*args, **options):
        msg = "no network"
        raise LocalEntryNotFoundError(msg)

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(UnavailableError, match=r"config\.json"):
        obtain_files(esm)


def test_a_download_asks_for_the_pinned_revision_only(hub, esm, monkeypatch):
    asked = []

    def download(repository, *, revision, allow_patterns):
        asked.append((repository, revision))
        put_files(hub / "models--facebook--esm2_t6_8M_UR50D" / "snapshots" / revision)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    obtain_files(esm)
    assert asked == [(esm.source.repository, esm.source.revision)]


def test_an_unpinned_hub_model_is_refused_and_told_how_to_pin(esm):
    with pytest.raises(BadInputError, match=r"not pinned.*commit hash.*allow_unpinned"):
        require_available(unpinned(esm))


def test_an_unpinned_hub_model_that_is_allowed_is_what_the_main_branch_holds(hub, esm):
    allowed = unpinned(esm, allow_unpinned=True)
    with pytest.raises(UnavailableError, match="hf download facebook/esm2_t6_8M_UR50D\\)"):
        require_available(allowed)
    repository = hub / "models--facebook--esm2_t6_8M_UR50D"
    folder = put_files(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc\n", encoding="utf-8")
    assert obtain_files(allowed).config == folder / "config.json"


def test_an_unpinned_local_model_is_told_its_digest(tmp_path):
    folder = put_files(tmp_path / "weights")
    with pytest.raises(BadInputError, match=f'mine = "{directory_digest(folder)}" into .*pins.toml'):
        obtain_files(local_spec(folder, ""))


def test_an_incomplete_local_model_names_what_to_bring_before_it_asks_for_a_pin(tmp_path):
    folder = put_files(tmp_path / "weights")
    (folder / "vocab.txt").unlink()
    with pytest.raises(UnavailableError, match=r"no vocab\.txt") as caught:
        require_available(local_spec(folder, ""))
    assert str(folder) in str(caught.value)


def test_an_unpinned_local_model_that_is_allowed_is_what_lies_there(tmp_path):
    folder = put_files(tmp_path / "weights")
    spec = local_spec(folder, "")
    allowed = spec.model_copy(update={"source": spec.source.model_copy(update={"allow_unpinned": True})})
    assert obtain_files(allowed).config == folder / "config.json"


def sharded(folder, shards, name="pytorch_model.bin"):
    put_files(folder)
    (folder / "model.safetensors").unlink()
    weight_map = {f"tensor{index}": shard for index, shard in enumerate(shards)}
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    return folder


def test_shards_are_files_to_bring_and_part_of_the_pin(tmp_path):
    shards = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
    folder = sharded(tmp_path / "weights", shards)
    (folder / shards[0]).write_text("one", encoding="utf-8")
    with pytest.raises(UnavailableError, match=shards[1]):
        require_available(local_spec(folder, "0" * 64))
    (folder / shards[1]).write_text("two", encoding="utf-8")
    spec = local_spec(folder, directory_digest(folder))
    assert obtain_files(spec).shards == tuple(folder / shard for shard in shards)
    (folder / shards[1]).write_text("three", encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match="not the ones its revision names"):
        obtain_files(spec)


@pytest.mark.parametrize("content", ["{", "{}", '{"weight_map": {"a": "../b.bin"}}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_names_no_files_beside_it_is_refused(tmp_path, content):
    folder = sharded(tmp_path / "weights", ())
    (folder / "pytorch_model.bin.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(UnreadableFileError, match=r"index\.json"):
        obtain_files(local_spec(folder, "0" * 64))


def test_changed_local_files_are_not_the_pinned_ones(tmp_path):
    folder = put_files(tmp_path / "weights")
    spec = local_spec(folder, directory_digest(folder))
    assert obtain_files(spec).config == folder / "config.json"
    (folder / "vocab.txt").write_text("other", encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match="not the ones its revision names"):
        obtain_files(spec)


def test_a_package_of_another_version_must_be_installed():
    spec = load_catalogue()["antiberty"]
    other = spec.model_copy(update={"source": spec.source.model_copy(update={"distribution": "antiberty==9.9"})})
    with pytest.raises(UnavailableError, match=r"pip install antiberty==9\.9"):
        require_available(other)
