"""Models run in pods of a real cluster."""

from __future__ import annotations

import pytest
from tests_support import write_specificity

from ab_assets.commands.intake import add_benchmark
from ab_assets.definitions import defs
from ab_assets.progress import silent
from jobs.launching import open_instance, register, run_job
from resources.kubernetes.backend import KubernetesCompute

pytestmark = pytest.mark.cluster


def evaluate(home, model, *, compute=None, progress=silent, force=False):
    with open_instance(home) as instance:
        return run_job(
            defs, instance, home, "evaluate", "tiny-specificity", model=model,
            compute=compute or KubernetesCompute(), progress=progress, force=force,
        )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a home with a benchmark that is prepared."""
    from tests_support import TWINS

    from ab_assets.home import Home

    home = Home(tmp_path_factory.mktemp("prepared"))
    (home.root / "models").mkdir()
    (home.root / "models" / "twins.toml").write_text(TWINS)
    add_benchmark(write_specificity(tmp_path_factory.mktemp("given") / "tiny-specificity"), home)
    with open_instance(home) as instance:
        register(instance, ["tiny-specificity"])
        run_job(defs, instance, home, "prepare", "tiny-specificity", progress=silent)
    return home


def test_a_pod_makes_what_this_machine_makes(pod_home, prepared, namespace):
    home = pod_home(base=prepared.root)
    heard = []
    result = evaluate(home, "twin-bert", progress=lambda *said: heard.append(said))
    assert result.error is None
    assert namespace.get("jobs") == []
    result = evaluate(prepared, "twin-bert")
