"""The image cannot be built where the tests run: what its text promises is checked."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILERS = ("gcc", "g++", "cc", "clang", "build-essential", "make", "cmake", "nvcc", "cuda-toolkit", "python3-dev")
FINAL = ("cpu", "cuda")


@dataclass
class Stage:
    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def said(self, instruction: str) -> list[str]:
        return [text for said, text in self.steps if said == instruction]


def _parsed() -> tuple[list[tuple[str, str]], dict[str, Stage]]:
    """Return the instructions before the first stage, and the stages by name."""
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    joined = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    before: list[tuple[str, str]] = []
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        instruction, _, rest = line.partition(" ")
        assert instruction in {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "CMD"}, line
        text = re.sub(r"\s+", " ", rest).strip()
        if instruction == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", text).groups()
            current = stages[name] = Stage(name, base)
        elif current is None:
            before.append((instruction, text))
        else:
            current.steps.append((instruction, text))
    return before, stages


BEFORE, STAGES = _parsed()


def _line_of(name: str) -> list[Stage]:
    """Return a stage and the stages it stands on, itself first."""
    found = [STAGES[name]]
    while found[-1].base in STAGES:
        found.append(STAGES[found[-1].base])
    return found


def _everything_behind(name: str) -> set[str]:
    """Return the names of all stages that a stage stands on or copies from."""
    stages = {stage.name for stage in _line_of(name)}
    for stage in tuple(stages):
        for text in STAGES[stage].said("COPY"):
            if source := re.search(r"--from=(\S+)", text):
                stages |= _everything_behind(source[1])
    return stages


def _copied() -> list[str]:
    """Return what is copied from the build's context."""
    return [
        source
        for stage in STAGES.values()
        for text in stage.said("COPY")
        if "--from=" not in text
        for source in shlex.split(text)[:-1]
    ]


def test_the_base_is_a_parameter_with_python_3_11_slim():
    assert ("ARG", "BASE=docker.io/library/python:3.11-slim") in BEFORE
    assert {stage.base for stage in STAGES.values()} - set(STAGES) == {"${BASE}", "scratch"}


def test_every_stage_stands_on_one_before_it():
    names = list(STAGES)
    for name, stage in STAGES.items():
        sources = re.findall(r"--from=(\S+)", " ".join(stage.said("COPY")))
        for other in [*sources, *([stage.base] if stage.base in STAGES else [])]:
            assert names.index(other) < names.index(name), f"{name} uses {other}, which comes later"


@pytest.mark.parametrize("name", FINAL)
def test_a_final_stage_runs_as_a_user_without_rights(name):
    assert STAGES[name].steps[-2:] == [("USER", "10001:10001"), ("CMD", '["ab-assets", "--help"]')]
    assert any("useradd --uid 10001 --gid 10001" in text for stage in _line_of(name) for text in stage.said("RUN"))


@pytest.mark.parametrize("name", FINAL)
def test_a_final_stage_installs_nothing(name):
    for text in (text for stage in _line_of(name) for text in stage.said("RUN")):
        words = shlex.split(text)
        assert not {"apt-get", "apt", "pip", "conda", "curl", "wget"} & set(words), text
        assert not set(COMPILERS) & set(words), text


@pytest.mark.parametrize("name", FINAL)
def test_a_final_stage_takes_only_the_installation(name):
    copied = [text for stage in _line_of(name) for text in stage.said("COPY")]
    assert copied == [f"--from=installed-{name} /opt/ab-assets /opt/ab-assets"]


@pytest.mark.parametrize("name", FINAL)
def test_a_final_stage_says_which_image_and_revision_it_is(name):
    arguments = {text.partition("=")[0] for text in STAGES[name].said("ARG")}
    assert arguments == {"AB_ASSETS_IMAGE", "AB_ASSETS_GIT_REVISION"}
    assert "AB_ASSETS_IMAGE=${AB_ASSETS_IMAGE} AB_ASSETS_GIT_REVISION=${AB_ASSETS_GIT_REVISION}" in STAGES[name].said(
        "ENV"
    )


def test_every_package_is_pinned_by_the_constraints():
    for stage in STAGES.values():
        for command in (part for text in stage.said("RUN") for part in text.split("&&")):
            if "pip install" in command and "--no-deps" not in command:
                assert "-c constraints.txt" in command, f"{stage.name}: {command}"


def test_torch_is_the_version_of_the_constraints_without_its_dependencies_from_elsewhere():
    (line,) = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if re.match("^torch==", line)]
    assert re.fullmatch(r"torch==[0-9.]+", line), "the Dockerfile hands this line to pip as it is"
    (torch, _) = STAGES["build-cpu"].said("RUN")
    assert '--no-deps --index-url "${TORCH_INDEX}" "$(grep \'^torch==\' constraints.txt)"' in torch
    assert STAGES["build-cpu"].said("ARG") == ["TORCH_INDEX=https://download.pytorch.org/whl/cpu"]


def test_the_cuda_image_takes_no_package_from_the_cpu_index():
    behind = _everything_behind("cuda")
    assert "build-cpu" not in behind
    assert not any("--index-url" in text for name in behind for text in STAGES[name].said("RUN"))


def test_every_file_that_is_copied_exists_and_reaches_the_build():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for source in _copied():
        assert (ROOT / source).exists(), f"COPY {source}: there is no such file"
        assert any(source == name or source.startswith(f"{name}/") for name in let_in), (
            f".dockerignore keeps {source} out"
        )
    for name in let_in:
        assert any(source == name or source.startswith(f"{name}/") for source in _copied()), f"{name} is not copied"


def test_every_package_of_the_project_is_copied():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {package.partition(".")[0] for package in packages} <= set(_copied())


def test_what_the_code_reads_beside_its_packages_is_copied():
    read = ["benchmarks", "deploy/laptop", "workspace.yaml", "constraints.txt"]  # parents[1] and parents[2] in the code
    assert set(read) <= set(_copied())


def test_no_cache_of_this_machine_reaches_the_build():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for unwanted in ("ab_assets/__pycache__", "jobs/__pycache__", "jobs/launching.pyc"):
        last = [line for line in ignored if fnmatch.fnmatch(unwanted, line.removeprefix("!").replace("**/", "*/"))][-1]
        assert not last.startswith("!")


def test_every_dependency_is_in_the_constraints():
    pinned = {
        line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split("[<>=!~]", name)[0] for name in dependencies} <= pinned


def test_what_is_copied_is_enough(tmp_path):
    for source in _copied():
        target = tmp_path / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    said = """
from pathlib import Path
import ab_assets.definitions, ab_assets.cli, ab_assets.worker, ab_assets.commands.intake, jobs.launching, jobs.serving
assert Path(ab_assets.definitions.__file__).is_relative_to(Path.cwd()), ab_assets.definitions.__file__
assert all(file.is_file() for file in jobs.launching.SHIPPED)
assert jobs.serving.WORKSPACE.is_file()
assert (ab_assets.commands.intake.DEFINED / "demo-specificity" / "benchmark.toml").is_file()
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "AB_ASSETS_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
