"""The graph as Dagster sees it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ab_assets.graph import NODES

CHILD = """
import sys
import ab_assets.definitions
heavy = [name for name in ("torch", "transformers", "sklearn", "numba", "plotly", "anarcii") if name in sys.modules]
print(heavy)
"""


def specs():
    from ab_assets.definitions import defs

    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_loading_the_definitions_loads_no_heavy_library():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_node_is_an_asset_and_nothing_else_is():
    assert set(specs()) == set(NODES)


@pytest.mark.parametrize("name", NODES)
def test_an_asset_depends_on_what_its_node_reads(name):
    assert {dep.asset_key.to_user_string() for dep in specs()[name].deps} == set(NODES[name].inputs)


@pytest.mark.parametrize("name", NODES)
def test_dagster_shows_the_code_version_that_the_plan_uses(name):
    assert specs()[name].code_version == NODES[name].code_version


@pytest.mark.parametrize("name", NODES)
def test_partitions_are_the_benchmark_alone_or_with_the_model(name):
    partitions = specs()[name].partitions_def
    dimensions = getattr(partitions, "partition_dimension_names", ["benchmark"])
    assert dimensions == (["benchmark", "model"] if NODES[name].per_model else ["benchmark"])


def test_jobs_cover_every_asset_once():
    from ab_assets.definitions import defs

    selected = [
        key.to_user_string()
        for job in ("prepare", "evaluate", "report")
        for key in defs.resolve_job_def(job).asset_layer.executable_asset_keys
    ]
    assert sorted(selected) == sorted(NODES)


def test_the_whole_graph_is_as_reviewed(snapshot):
    assert {
        name: {
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "description": spec.description,
        }
        for name, spec in sorted(specs().items())
    } == snapshot


def test_what_reacts_by_itself_is_as_reviewed(snapshot):
    from ab_assets.definitions import defs

    assert {
        one.name: {
            "default": one.default_status.value,
            "seconds": one.minimum_interval_seconds,
            "jobs": sorted(target.job_name for target in one.targets),
            "description": one.description,
        }
        for one in defs.sensors
    } == snapshot


def test_inputs_come_before_the_asset_that_reads_them():
    names = list(NODES)
    for name, node in NODES.items():
        assert all(names.index(source) < names.index(name) for source in node.inputs)
