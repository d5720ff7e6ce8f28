"""What tests run in ranks, started by `launch`: all in one start, which takes longer than all of it."""

import json
import os
import sys
import time
from pathlib import Path

from ab_assets.training.launching import run_rank


def run_jobs(folder, rendezvous, progress):
    """Run every job below `folder`, then what no fit shows of each stage."""
    import psutil
    import torch

    from ab_assets.training.sharded_fit import JOB, Job, leave, rank_run
    from ab_assets.training.sharding import joined_ranks

    with joined_ranks("cpu", rendezvous=rendezvous):
        for file in sorted(folder.glob(f"*/{JOB}")):
            run = rank_run(Job.from_json(json.loads(file.read_text())), progress)
            losses = recorded(run)
            leave(run, run.finish(), file.parent)
            (file.parent / f"losses-{run.updater.rank}.json").write_text(json.dumps(losses))
        for file in sorted(folder.glob("*/stopped.json")):
            _stopped(Job.from_json(json.loads(file.read_text())), file.parent)
        seen = {
            "resumed": {stage: _resumed(stage) for stage in (1, 2, 3)},
            "overflowed": {stage: _overflowed(stage) for stage in (1, 2, 3)},
            "listening": [
                connection.laddr.ip
                for process in (psutil.Process(), psutil.Process(os.getppid()))
                for connection in process.net_connections()
                if connection.status == psutil.CONN_LISTEN
            ],
        }
        (folder / f"seen-{torch.distributed.get_rank()}.json").write_text(json.dumps(seen))


def recorded(run):
    """Return a list that gets the loss and the norm of the gradients of every update that `run` makes."""
    losses = []
    gradients, step = run._gradients, run.updater.step

    def noted(examples):
        total, labels = gradients(examples)
        losses.append([total])
        return total, labels

    def stepped():
        norm = step()
        losses[-1].append(norm.item())
        return norm

    run._gradients, run.updater.step = noted, stepped
    return losses


class Stopped(BaseException):
    """Ends a fit as a kill would: nothing in between catches it."""


def _stopped(job, folder):
    """Run the job at a go; then stopped twice, the second time with snapshots of one rank that are older."""
    import shutil
    from dataclasses import replace

    import torch

    from ab_assets.training import loop
    from ab_assets.training.sharded_fit import rank_run

    loop.SECONDS_BETWEEN_SNAPSHOTS = -1.0
    whole = rank_run(replace(job, snapshots=None))
    losses = recorded(whole)
    whole.finish()
    weights = whole.updater.weights()
    said = []
    for stop in (("epoch 1 of 2", 2), ("epoch 2 of 2", 3), None):

        def progress(message, done, total, stop=stop):
            said.append(message)
            if (message, done) == stop:
                raise Stopped

        run = rank_run(job, progress)
        last = recorded(run)
        try:
            run.finish()
        except Stopped:
            torch.distributed.barrier()
            if run.updater.rank == 1 and stop == ("epoch 2 of 2", 3):
                newest = max(run.snapshots.folder.glob("0*"))
                shutil.rmtree(newest)
    # not the ranks' shares: where weights cannot be divided evenly, what fills them up is any number
    found = run.updater.weights()
    same = losses[-len(last) :] == last and all(found[name].equal(weight) for name, weight in weights.items())
    resumed = [message for message in said if message.startswith("resumed")]
    (folder / f"resumed-{run.updater.rank}.json").write_text(json.dumps({"same": same, "resumed": resumed}))


def tiny_updater(make):
    """Return a module with frozen bfloat16 layers below float32 ones, under the updater that `make` gives it."""
    import torch
    from torch import nn

    from ab_assets.training.updates import UpdateRule

    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.frozen = nn.Linear(16, 16).requires_grad_(requires_grad=False).bfloat16()
            self.top = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 1))

        def forward(self, inputs):
            return self.top(self.frozen(inputs.bfloat16()).float()).squeeze(-1)

    module = Tiny()
    rule = UpdateRule(1e-2, 0.1, 0.5, lambda update: 1 - update / 10)
    return make(module, {name: p for name, p in module.named_parameters() if p.requires_grad}, rule)


def tiny_losses(updater, updates, *, scale=1.0):
    """Return the loss of each of these updates (by number) of seven examples with unequal lengths."""
    import torch

    from ab_assets.training.portions import portions

    losses = []
    for update in updates:
        inputs = torch.randn(7, 16, generator=torch.Generator().manual_seed(update))
        targets = (inputs[:, 0] > 0).float()
        mine = portions([5, 6, 7, 8, 9, 10, 11], world=updater.world, token_budget=20)[updater.rank]
        total = 0.0
        for number, portion in enumerate(mine, start=1):
            chosen = list(portion.indices)
            logits = updater.forward(inputs[chosen])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[chosen], reduction="sum") / 7
            loss = loss * float(portion.counts) * scale
            updater.backward(loss, last=number == len(mine))
            total += loss.item()
        losses.append((*updater.summed(total), updater.step().item()))
    return losses


def _sharded(stage):
    import torch

    from ab_assets.training.sharding import sharded_updater

    return tiny_updater(lambda *what: sharded_updater(*what, stage=stage, device=torch.device("cpu")))


def _resumed(stage):
    updater = _sharded(stage)
    losses = tiny_losses(updater, range(3))
    state = updater.state()
    losses += tiny_losses(updater, range(3, 6))
    held = updater.held_bytes()
    fresh = _sharded(stage)
    fresh.restore(state)
    return {
        "losses": losses,
        "resumed": tiny_losses(fresh, range(3, 6)),
        "same_state": all(a.equal(b) for a, b in zip(updater.state().values(), fresh.state().values(), strict=True)),
        "bytes": [held.parameters, held.optimizer],
    }


def _overflowed(stage):
    updater = _sharded(stage)
    before = updater.weights()
    ((_, norm),) = tiny_losses(updater, [0], scale=float("inf"))
    return {"norm": norm, "same_weights": all(a.equal(before[name]) for name, a in updater.weights().items())}


def fail(folder, rendezvous, progress):
    """Let rank 1 fail as the environment says and rank 0 wait for it in vain."""
    from ab_assets.errors import FitFailedError

    (folder / f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
    progress("waiting", 1, 2)
    while len(list(folder.glob("pid-*"))) < 2:
        time.sleep(0.01)
    if os.environ["RANK"] == "1":
        how = os.environ.get("FAIL", "")
        if how == "said":
            raise FitFailedError(what="the loss is not a finite number", where="step 3", hint="Look at these rows.")
        if how == "unexpected":
            _ = 1 / 0
        if how == "silent":
            sys.stderr.write("last words\n")
            os._exit(7)
    time.sleep(600)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    what = {"run_jobs": run_jobs, "fail": fail}[os.environ.get("RANKS_DO", "run_jobs")]
    run_rank(where, lambda rendezvous, progress: what(where, rendezvous, progress))
