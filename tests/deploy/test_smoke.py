"""deploy/smoke.sh against a kubectl that answers as told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from deployment import DEPLOY

from resources.kubernetes.manifest import SELECTOR

SCRIPT = DEPLOY / "smoke.sh"

# Answers what a complete installation answers; what BROKEN names is answered otherwise.
KUBECTL = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >>"$CALLS"
case "$*" in
  version) [ "$BROKEN" != cluster ] ;;
  *"get namespace lab") [ "$BROKEN" != namespace ] ;;
  *"get configmap/ab-assets-kubernetes") [ "$BROKEN" != settings ] ;;
  *"get secret/"*|*"get serviceaccount/"*) ;;
  *"get persistentvolumeclaim"*) [ "$BROKEN" = claim ] && echo -n Pending || echo -n Bound ;;
  *"get networkpolicy"*) [ "$BROKEN" = address ] && echo -n "10.0.0.1/32 192.0.2.1/32" || echo -n 10.0.0.1/32 ;;
  *"get deployment"*) [ "$BROKEN" = code-server ] || echo deployment.apps/dagster-ab-assets ;;
  *"rollout status"*) [ "$BROKEN" != rollout ] ;;
  *"printenv AB_ASSETS_COMPUTE") [ "$BROKEN" = compute ] && echo local || echo kubernetes ;;
  *"-- sh -c"*) [ "$BROKEN" != home ] ;;
  *"get jobs"*) echo job.batch/ab-demo-1; exec sleep 30 ;;
  *"ab-assets demo") sleep 0.2; [ "$BROKEN" != demo ] ;;
  *"ab-assets report "*) echo "/home/ab-assets/store/${@: -1}/report.html" ;;
  *"get pods"*) echo "ab-demo-1-x   0/1   Error" ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def smoke(tmp_path):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)

    def run(broken: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "KUBECTL": str(kubectl), "NAMESPACE": "lab", "BROKEN": broken, "CALLS": str(tmp_path / "calls"),
        }  # fmt: skip
        return subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_the_script_is_valid_shell():
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert SCRIPT.read_text().splitlines()[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in SCRIPT.read_text()
    assert os.access(SCRIPT, os.X_OK)


def test_workers_are_found_by_the_labels_that_they_have():
    assert f"\nWORKERS={SELECTOR}\n" in SCRIPT.read_text()


def test_a_working_installation_names_its_jobs_and_reports(smoke, tmp_path):
    done = smoke()
    assert done.returncode == 0, done.stderr
    assert "job.batch/ab-demo-1" in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        "/home/ab-assets/store/demo-specificity/report.html",
        "/home/ab-assets/store/demo-paratope/report.html",
    ]
    calls = Path(tmp_path / "calls").read_text().splitlines()
    assert all(call == "version" or call.startswith("--namespace lab ") for call in calls)
    assert not [call for call in calls if any(word in call for word in (" delete ", " apply ", " create "))]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("cluster", "the cluster does not answer"),
        ("namespace", "there is no namespace lab"),
        ("settings", "there is no configmap/ab-assets-kubernetes in lab"),
        ("claim", "the home ab-assets-home is not bound (Pending)"),
        ("address", "still names 192.0.2.1/32"),
        ("code-server", "there is no code server in lab"),
        ("rollout", "the code server does not start"),
        ("compute", "AB_ASSETS_COMPUTE is 'local'"),
        ("home", "the home cannot be written"),
    ],
)
def test_what_is_missing_is_said_before_anything_runs(smoke, tmp_path, broken, said):
    done = smoke(broken)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, "what is missing, and what to do"
    assert "demo" not in Path(tmp_path / "calls").read_text()


def test_a_demo_that_fails_is_a_failure_with_its_pods(smoke):
    done = smoke("demo")
    assert done.returncode == 1
    assert "ab-demo-1-x" in done.stderr
    assert "report.html" not in done.stdout
