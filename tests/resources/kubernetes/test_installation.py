"""kubernetes.toml is read whole or refused with all that is wrong in it."""

from __future__ import annotations

import pytest
from tests_support import TWINS

from ab_assets.errors import BadInputError, UnknownNameError, UnreadableFileError
from ab_assets.home import Home
from resources.kubernetes.installation import VARIABLE, Installation, read_installation


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "twins.toml").write_text(TWINS)
    return Home(tmp_path)


def read(home, text):
    (home.root / "kubernetes.toml").write_text(text)
    return read_installation(home)


def refused(home, text):
    with pytest.raises(BadInputError) as error:
        read(home, text)
    assert "kubernetes.toml" in str(error.value)
    return str(error.value)


def test_an_image_is_enough(home):
    found = read(home, 'image = "lab/ab-assets:1"')
    assert found == Installation(image="lab/ab-assets:1")
    assert found.gpu.resource == "nvidia.com/gpu"


def test_without_the_file_its_place_is_said(home):
    with pytest.raises(UnknownNameError, match=r"kubernetes\.toml"):
        read_installation(home)


def test_another_file_can_be_named(home, tmp_path, monkeypatch):
    (tmp_path / "other.toml").write_text('image = "other"')
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other.toml"))
    assert read_installation(home).image == "other"


@pytest.mark.parametrize("content", [b"image = ", b"\xff\xfe", b"image = 1 2"])
def test_what_is_no_toml_is_said_so(home, content):
    (home.root / "kubernetes.toml").write_bytes(content)
    with pytest.raises(UnreadableFileError, match="no TOML"):
        read_installation(home)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("namespce = 'x'", "unknown key namespce. Did you mean 'namespace'?"),
        ("[gpu]\nresorce = 'x/y'", "unknown key gpu.resorce. Did you mean 'resource'?"),
        ("[waiting]\ngrace_second = 1", "unknown key waiting.grace_second. Did you mean 'grace_seconds'?"),
        ("[models.twin-bert]\ngpu = 1", "unknown key models.twin-bert.gpu. Did you mean 'gpus'?"),
        ("[home]\nzzz = 1", "unknown key home.zzz. Known: claim, path, sub_path."),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(home, text, near):
    assert near in refused(home, f"image = 'x'\n{text}")


def test_all_problems_are_told_at_once(home):
    told = refused(home, "namespace = 'No Name'\nretries = -1\nenvironment = { A = 1 }\n[gpu]\nresource = 'gpu'\n[x]\n")
    assert "6 problem(s)" in told
    for key in ("image is missing", "namespace", "retries", "environment.A", "gpu.resource", "unknown key x"):
        assert key in told


def test_an_unknown_model_and_a_missing_template_are_told_together(home):
    told = refused(home, "image = 'x'\npod_template = 'pod.yaml'\n[models.twin-brt]\ngpus = 1")
    assert "[models.twin-brt] is no model of the catalogue. Did you mean 'twin-bert'?" in told
    assert "pod_template: there is no file" in told


def test_a_template_is_found_beside_the_file(home):
    (home.root / "pod.yaml").write_text("containers: []")
    assert read(home, "image = 'x'\npod_template = 'pod.yaml'").pod_template == str(home.root / "pod.yaml")


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0"])
@pytest.mark.parametrize("key", ["deadline_hours", "schedule_minutes", "kept_hours"])
def test_a_time_that_is_none_is_refused(home, key, value):
    assert f"waiting.{key}" in refused(home, f"image = 'x'\n[waiting]\n{key} = {value}")


@pytest.mark.parametrize("line", ["memory_gib = inf", "cpus = nan", "gpus = -1", "shm_gib = -1", "gpus = 65"])
def test_a_size_that_is_none_is_refused(home, line):
    assert "models.twin-bert" in refused(home, f"image = 'x'\n[models.twin-bert]\n{line}")


def test_a_line_for_a_model_changes_that_one_only(home):
    found = read(home, "image = 'x'\n[models.twin-bert]\ngpus = 4\ngpu_resource = 'nvidia.com/mig-1g.5gb'")
    catalogue = home.catalogue()
    changed, other = catalogue["twin-bert"], catalogue["twin-esm"]
    assert found.needs_of(changed) == changed.needs.model_copy(update={"gpus": 4})
    assert found.needs_of(other) == other.needs
    assert found.gpu_resource_of("twin-bert") == "nvidia.com/mig-1g.5gb"
    assert found.gpu_resource_of("twin-esm") == "nvidia.com/gpu"
