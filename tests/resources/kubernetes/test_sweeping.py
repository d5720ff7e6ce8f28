"""What killed runs leave on a cluster is removed, and nothing else."""

from __future__ import annotations

import os
import time

from resources.kubernetes.manifest import RUN, WORK
from resources.kubernetes.sweeping import sweep_jobs


class FewJobs:
    """A cluster of which only Jobs are asked: {name: (work, run id)}."""

    def __init__(self, jobs: dict[str, tuple[str, str]]) -> None:
        self.there = dict(jobs)

    def jobs(self, selector: str) -> list[dict]:
        assert "component=worker" in selector
        return [
            {"metadata": {"name": name, "labels": {WORK: work, RUN: run}}} for name, (work, run) in self.there.items()
        ]

    def delete_job(self, name: str) -> None:
        del self.there[name]


def test_jobs_go_whose_run_is_gone_with_their_files(tmp_path):
    for work in ("ab-a", "ab-b"):
        (tmp_path / "work" / work).mkdir(parents=True)
    cluster = FewJobs({"ab-a-1": ("ab-a", "gone"), "ab-b-2": ("ab-b", "alive")})
    assert sweep_jobs(cluster, tmp_path, lambda run_id: run_id == "gone") == ["ab-a-1"]
    assert list(cluster.there) == ["ab-b-2"]
    assert [folder.name for folder in (tmp_path / "work").iterdir()] == ["ab-b"]


def test_jobs_of_another_home_in_the_namespace_are_left_alone(tmp_path):
    cluster = FewJobs({"ab-theirs-1": ("ab-theirs", "gone")})
    assert sweep_jobs(cluster, tmp_path, lambda run_id: True) == []
    assert list(cluster.there) == ["ab-theirs-1"]


def test_files_without_a_job_go_after_a_day_and_those_with_one_stay(tmp_path):
    old = time.time() - 2 * 24 * 3600
    for work in ("ab-old", "ab-kept", "ab-new"):
        (tmp_path / "work" / work).mkdir(parents=True)
    (tmp_path / "work" / "home-id").write_text("x")
    for work in ("ab-old", "ab-kept"):
        os.utime(tmp_path / "work" / work, (old, old))
    sweep_jobs(FewJobs({"ab-kept-1": ("ab-kept", "alive")}), tmp_path, lambda run_id: False)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["ab-kept", "ab-new", "home-id"]
