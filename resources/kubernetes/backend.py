"""Models run in pods of their own, heard through dagster-pipes."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import PipesEnvContextInjector, open_pipes_session

import ab_assets.errors
from ab_assets.artifacts.durable import write_atomically
from ab_assets.artifacts.fingerprint import digest_of
from ab_assets.artifacts.publication import Outcome
from ab_assets.artifacts.store import Ref
from ab_assets.errors import AbAssetsError, ComputeFailedError
from ab_assets.graph import CANDIDATES, question_of
from ab_assets.plan import candidate_digests
from ab_assets.work import answered
from resources.compute import Compute
from resources.kubernetes.causes import Cause
from resources.kubernetes.cluster import Cluster, OutageError, RefusalError, connect
from resources.kubernetes.installation import Installation, read_installation
from resources.kubernetes.manifest import Launch, launch_name
from resources.kubernetes.messages import HomeMessages
from resources.kubernetes.pods import Clock, Failed, Pods
from resources.kubernetes.retries import RESUMED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dagster import AssetExecutionContext

    from ab_assets.home import Home
    from ab_assets.progress import Progress
    from ab_assets.work import Work
    from resources.kubernetes.causes import Said
    from resources.kubernetes.messages import Payload

_VISIBLE_SECONDS = 60.0  # until what a pod has published is seen on every machine of a shared file system
_HINTS = {
    Cause.OUT_OF_MEMORY: "Give it more: memory_gib of the model in kubernetes.toml.",
    Cause.IMAGE_PULL: "Check image and image_pull_secrets in kubernetes.toml.",
    Cause.UNSCHEDULABLE: "No node has this much room; `kubectl describe nodes` shows what each has.",
    Cause.INVALID_SPEC: "Check kubernetes.toml and its pod_template.",
    Cause.REFUSED: "The namespace's rights, quota or Pod Security do not allow it.",
    Cause.DEADLINE: "waiting.deadline_hours in kubernetes.toml; the next run goes on from the newest snapshot.",
    Cause.UNREACHABLE: "The pod may still run: the next run follows it.",
}


class RemoteTraceback(Exception):  # noqa: N818 - it stands below an error, as its cause
    """The traceback of an error in a pod."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class KubernetesCompute(Compute):
    """Each (benchmark, model) in a pod of its own, as kubernetes.toml says."""

    side_by_side = 8
    brings_weights = True

    def __init__(self, *, cluster: Callable[[Installation], Cluster] = connect, clock: Clock | None = None) -> None:
        self._connect = cluster
        self._clock = clock or Clock()

    def run(self, context: AssetExecutionContext, home: Home, work: Work, progress: Progress) -> Iterator[Outcome]:
        """Yield what each wanted partition shows, as soon as its pod has made it.

        Raises the error of the work as if it had happened here, or ComputeFailedError with the cause.
        """
        yield from (known := answered(home, work))
        told = {outcome.ref.asset for outcome in known}
        if told == work.wanted:
            return
        installation = read_installation(home)
        spec, cluster = home.model(work.model), self._connect(installation)
        pods = Pods(cluster, installation, spec, root=home.root, log=context.log.info, clock=self._clock)
        first = _launch(context, home, work, installation)

        @contextmanager
        def listen(launch: Launch) -> Iterator[tuple[HomeMessages, Mapping[str, str]]]:
            messages = HomeMessages(home.root / launch.messages, f"{installation.home.path}/{launch.messages}")
            with open_pipes_session(context, PipesEnvContextInjector(), messages) as session:
                yield messages, session.get_bootstrap_env_vars()

        try:
            for payload in pods.run(first, _described(work), listen):
                if payload["kind"] == "progress":
                    progress(payload["message"], payload["done"], payload["total"])
                elif payload["kind"] == "outcome" and payload["asset"] not in told:
                    told.add(payload["asset"])
                    yield self._outcome(home, work, payload)
        except Failed as failed:
            raise _error(failed, context) from _trace(failed.said)
        except (OutageError, RefusalError) as error:
            cause = Cause.REFUSED if isinstance(error, RefusalError) else Cause.UNREACHABLE
            raise ComputeFailedError(
                cause=cause, what=f"the cluster was asked for a pod ({cause})", found=str(error), hint=_HINTS[cause]
            ) from error
        if left := work.wanted - told:
            raise ComputeFailedError(
                cause=Cause.CRASHED, what=f"the pod was done without {', '.join(sorted(left))}", where=first.name
            )

    def _outcome(self, home: Home, work: Work, payload: Payload) -> Outcome:
        """Return what a pod has published, as soon as this machine sees it, too."""
        ref = Ref(payload["asset"], work.benchmark, work.model)
        limit = self._clock.now() + _VISIBLE_SECONDS
        while True:
            artifact = home.store.current(ref)
            if artifact is not None and artifact.digest == payload["digest"]:
                return Outcome(ref, artifact, reused=payload["reused"])
            if self._clock.now() > limit:
                raise ComputeFailedError(
                    cause=Cause.CRASHED,
                    what="what the pod has published is not to be seen here",
                    where=str(home.root),
                    hint="Is home.claim in kubernetes.toml the volume that this home is on?",
                )
            self._clock.sleep(1.0)


def _launch(context: AssetExecutionContext, home: Home, work: Work, installation: Installation) -> Launch:
    """Return the first attempt: its name follows from what decides all that the worker makes, and stays the same while
    its results appear one by one.
    """
    benchmark, spec = home.benchmark(work.benchmark), home.model(work.model)
    upstream = [Ref(name, work.benchmark) for name in ("curated_dataset", "split", "shuffled_label_split")]
    if CANDIDATES in work.wanted:
        upstream += [Ref(name, work.benchmark, work.model) for name in ("fine_tuned_checkpoint", "model_metrics")]
    inputs = {ref.asset: found.digest for ref in upstream if (found := home.store.current(ref))}
    if CANDIDATES in work.wanted:
        inputs |= candidate_digests(benchmark, home.folder(work.benchmark))
    questions = [question_of(asset, benchmark, inputs, spec=spec).fingerprint for asset in sorted(work.wanted)]
    digest = digest_of(
        {
            "home": _home_id(home),
            "volume": installation.home.model_dump(),
            "questions": questions,
            # to be made again is asked anew by every run, but only once by a run that starts again
            "again": (context.run.root_run_id or context.run.run_id) if work.force else "",
        }
    )
    return Launch(launch_name(work.benchmark, work.model, digest), work.benchmark, work.model, context.run.run_id)


def _home_id(home: Home) -> str:
    """Return what tells this home from others that share a namespace, whatever its path."""
    file = home.root / "work" / "home-id"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, uuid.uuid4().hex)
    return file.read_text(encoding="utf-8")


def _described(work: Work) -> dict[str, Any]:
    return {
        "benchmark": work.benchmark,
        "model": work.model,
        "wanted": sorted(work.wanted),
        "force": work.force,
    }


def _error(failed: Failed, context: AssetExecutionContext) -> AbAssetsError:
    """Return the error of the work as it was raised in the pod, else one that names the pod's end."""
    ending, said = failed.ending, failed.said
    if said is not None and said.error is not None:
        context.log.error("%s: %s", failed.launch.job_name, said.error["traceback"])
    known = said.error if said is not None and ending.cause is Cause.APPLICATION_ERROR else None
    if known and known["problem"]:
        kind = getattr(ab_assets.errors, known["type"], AbAssetsError)
        try:
            rebuilt: AbAssetsError = kind(**known["problem"])
        except TypeError:  # one with arguments of its own
            rebuilt = AbAssetsError(**known["problem"])
        return rebuilt
    tries = len(failed.launch.causes) + 1
    earlier = f", after {', '.join(failed.launch.causes)}" if failed.launch.causes else ""
    hint = _HINTS.get(ending.cause, "")
    if ending.cause in RESUMED:
        hint = "Run it again: it goes on from the newest snapshot."
    return ComputeFailedError(
        cause=ending.cause,
        what=f"the pod ended: {ending.cause} (attempt {tries}{earlier})",
        where=failed.launch.job_name,
        found=ending.detail,
        hint=hint,
    )


def _trace(said: Said | None) -> RemoteTraceback | None:
    return RemoteTraceback(said.error["traceback"]) if said is not None and said.error is not None else None
