"""Fine-tuning and embedding beside the usual way, alternating in one run on one CPU thread: ratios, not seconds.

Rivals: transformers' Trainer padding every text to 512 tokens (what the old pipeline did), and with padding to the
longest of a batch only (the fair rival). Same weights, same texts, same recipe (`abflow`), as many updates.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from ab_assets.training.session import ModelSession
from benches.competitors import hf_trainer
from benches.language_model import MAXIMUM, abflow, examples, fit_data, local_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ab_assets.models.specification import ModelSpec
    from ab_assets.training.recipe import Recipe

CHAINS = {"VH": ("vh",), "H+L": ("vh", "vl")}
_SAME_LOGIT = 1e-4
_SAME_DIRECTION = 0.9999


class Work:
    """One model on disk, and what is done with it in turn."""

    def __init__(self, folder: Path, shape: str, device: str) -> None:
        self.folder = folder
        self.spec: ModelSpec = local_model(folder / "model", shape)
        self.device = device
        self._runs = 0

    def session(self, recipe: Recipe, **more: Any) -> ModelSession:
        """Return a session that has seen nothing: no weights loaded, no states kept."""
        self._runs += 1
        return ModelSession(self.spec, recipe, device=self.device, cache=self.folder / f"cache-{self._runs}", **more)

    def ours(self, data: Any, recipe: Recipe, *, seed: int = 1) -> hf_trainer.Outcome:
        """Load, run the frozen layers, train; the epochs' ends are told by the progress of a fit."""
        ends: list[float] = []

        def note(message: str, done: int, total: int) -> None:
            if message.startswith("epoch") and done == total:
                ends.append(time.perf_counter())

        started = time.perf_counter()
        session = self.session(recipe, progress=note)
        out = self.folder / f"fit-{self._runs}"
        session.fit(data, seed, out)
        total = time.perf_counter() - started
        losses = [epoch["validation_loss"] for epoch in json.loads((out / "fit.json").read_text())["history"]]
        # from the last update of an epoch to the last of the next: one validation and one epoch's updates
        return hf_trainer.Outcome([b - a for a, b in itertools.pairwise(ends)], total, losses)

    def theirs(
        self, data: Any, recipe: Recipe, *, pad_to: int, seed: int = 1, bf16: bool = False
    ) -> hf_trainer.Outcome:
        """Run the usual way."""
        tokenizer = self.session(recipe).encoder.tokenizer
        return hf_trainer.train(
            self.folder / "model",
            data,
            recipe,
            tokenizer,
            self.spec.pairing,
            self.folder / "trainer",
            seed=seed,
            pad_to=pad_to,
            bf16=bf16,
        )


def equality_gate(work: Work, chains: Sequence[str]) -> float:
    """Return the largest difference of a logit between ours and transformers' classifier with the same head."""
    recipe = abflow()
    session = work.session(recipe)
    data = fit_data(4, 8, chains)
    rival = hf_trainer.classifier(work.folder / "model", 3, seed=5).to(session.encoder.device).eval()
    model = session.untrained(data, seed=1).eval()
    with torch.no_grad():
        for ours, theirs in ((model.head.dense, rival.classifier.dense), (model.head.out, rival.classifier.out_proj)):
            ours.weight.copy_(theirs.weight)
            ours.bias.copy_(theirs.bias)
        rows = hf_trainer.Rows(data.validation, session.encoder.tokenizer, work.spec.pairing, MAXIMUM)
        batch = hf_trainer.collate([rows[i] for i in range(len(rows))], session.encoder.tokenizer.pad)
        batch = {name: tensor.to(session.encoder.device) for name, tensor in batch.items() if name != "labels"}
        expected = rival(**batch).logits.squeeze(-1).float().cpu()
    logits = {example.row_id: parts[0] for example, parts in session.logits(model, data.validation)}
    found = torch.cat([logits[example.row_id] for example in data.validation])
    return float((found - expected).abs().max())


def per_epoch(
    work: Work, chains: Sequence[str], *, rows: int, rounds: int, precisions: Sequence[str], bf16: bool = False
) -> dict[str, Any]:
    """Return seconds per epoch with its validation (rows // 4 of them), by way, one round after the other.

    `bf16`: the rivals', too, as one would run them on a GPU.
    """
    data = fit_data(rows, rows // 4, chains)
    ways: dict[str, Callable[[], list[float]]] = {
        f"ours {precision}": lambda p=precision: work.ours(data, abflow(epochs=3, cpu_precision=p)).epochs
        for precision in precisions
    }
    ways["padding to 512"] = lambda: work.theirs(data, abflow(epochs=1), pad_to=MAXIMUM, bf16=bf16).epochs
    ways["dynamic padding"] = lambda: work.theirs(data, abflow(epochs=2), pad_to=0, bf16=bf16).epochs
    return _alternate({name: lambda run=run: statistics.median(run()) for name, run in ways.items()}, rounds)


def whole_job(work: Work, chains: Sequence[str], *, rows: int, rounds: int, epochs: int) -> dict[str, Any]:
    """Return seconds of a job of `epochs` epochs: load, frozen layers, training, validation."""
    data = fit_data(rows, max(2, rows // 4), chains)
    recipe = abflow(epochs=epochs, patience=epochs, batch_size=min(64, rows))
    ways = {
        "ours fp32": lambda: work.ours(data, recipe).total,
        "padding to 512": lambda: work.theirs(data, recipe, pad_to=MAXIMUM).total,
        "dynamic padding": lambda: work.theirs(data, recipe, pad_to=0).total,
    }
    return _alternate(ways, rounds)


def final_losses(work: Work, chains: Sequence[str], *, rows: int, epochs: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the last validation loss of both by seed, and whether their means differ by less than seeds do."""
    data = fit_data(rows, rows // 2, chains)
    recipe = abflow(epochs=epochs, patience=epochs, batch_size=16, learning_rate=1e-4)
    ours = [work.ours(data, recipe, seed=seed).losses[-1] for seed in seeds]
    theirs = [work.theirs(data, recipe, pad_to=0, seed=seed).losses[-1] for seed in seeds]
    spread = max(max(losses) - min(losses) for losses in (ours, theirs))
    return {
        "ours": ours,
        "dynamic padding": theirs,
        "difference of means": abs(statistics.mean(ours) - statistics.mean(theirs)),
        "seed spread": spread,
        "within": abs(statistics.mean(ours) - statistics.mean(theirs)) <= spread,
    }


def embedding(
    work: Work, chains: Sequence[str], *, rows: int, rounds: int, precisions: Sequence[str]
) -> dict[str, Any]:
    """Return seconds to embed `rows` texts (mean over residues), and how far the vectors agree."""
    texts = [example.texts[0] for example in examples(rows, chains, seed=3)]
    reference = _padded_embeddings(work, texts)
    lowest: dict[str, float] = {}

    def ours(precision: str) -> float:
        session = work.session(abflow(cpu_precision=precision))
        session.encoder  # noqa: B018 - loading is not what is compared
        started = time.perf_counter()
        made = session.embed(texts)
        seconds = time.perf_counter() - started
        lowest[precision] = min(
            _cosine(made[text], expected) for text, expected in zip(texts, reference[0], strict=True)
        )
        return seconds

    ways: dict[str, Callable[[], float]] = {f"ours {p}": lambda p=p: ours(p) for p in precisions}
    ways["padding to 512"] = lambda: _padded_embeddings(work, texts)[1]
    return _alternate(ways, rounds) | {"lowest cosine": lowest}


def _padded_embeddings(work: Work, texts: Sequence[tuple[str, ...]]) -> tuple[list[np.ndarray], float]:
    """Embed as one does with transformers: batches of 64 padded to 512, mean over each chain's residues."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(work.folder / "model", attn_implementation="sdpa", add_pooling_layer=False)
    model = model.eval().to(work.session(abflow()).encoder.device)
    tokenizer = work.session(abflow()).encoder.tokenizer
    vectors: list[np.ndarray] = []
    started = time.perf_counter()
    for start in range(0, len(texts), 64):
        encoded = [tokenizer.encode(text, 1022, work.spec.pairing) for text in texts[start : start + 64]]
        ids = torch.tensor([[*e.ids, *[tokenizer.pad] * (MAXIMUM - len(e.ids))] for e in encoded], device=model.device)
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=(ids != tokenizer.pad).long()).last_hidden_state.cpu()
        for one, row in zip(encoded, states, strict=True):
            chains = [row[chain.start : chain.start + chain.seen].mean(dim=0) for chain in one.chains]
            vectors.append(torch.cat(chains).numpy())
    return vectors, time.perf_counter() - started


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _alternate(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    """Run every way once a round; return all seconds, medians, and each rival's median of ratios to each of ours."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, run in ways.items():
            seconds[name].append(run())
            print(f"    round {number + 1} of {rounds}  {name:18} {seconds[name][-1]:8.2f} s", flush=True)
    ratios = {
        f"{rival} / {own}": [b / a for a, b in zip(seconds[own], seconds[rival], strict=True)]
        for own in ways
        if own.startswith("ours")
        for rival in ways
        if not rival.startswith("ours")
    }
    return {
        "seconds": seconds,
        "median seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "ratios": {
            name: {"median": statistics.median(values), "low": min(values), "high": max(values)}
            for name, values in ratios.items()
        },
    }


def _show(title: str, result: dict[str, Any]) -> None:
    print(f"  {title}")
    for name, ratio in result["ratios"].items():
        print(f"    {name:32} {ratio['median']:6.2f} x   [{ratio['low']:.2f}, {ratio['high']:.2f}]")
    if "lowest cosine" in result:
        print(f"    lowest cosine {result['lowest cosine']}")


def main() -> None:
    """Run the comparison and write bench.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="alternations (default 5)")
    parser.add_argument("--rows", type=int, default=128, help="training texts of an epoch (default 128)")
    parser.add_argument("--job-rows", type=int, default=16, help="training texts of the 30-epoch job (default 16)")
    parser.add_argument("--quick", action="store_true", help="one round of small work: does it run?")
    parser.add_argument("--only", choices=["epoch", "job", "loss", "embedding"], help="one part only")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="where to write (default bench.json)")
    given = parser.parse_args()
    rounds, rows, job_rows, epochs = given.rounds, given.rows, given.job_rows, 30
    if given.quick:
        rounds, rows, job_rows, epochs = 1, 16, 8, 3
    torch.set_num_threads(1)
    results: dict[str, Any] = {"machine": f"{platform.processor() or platform.machine()}, one thread"}
    results |= {"torch": torch.__version__, "rounds": rounds, "rows": rows}
    with tempfile.TemporaryDirectory() as scratch:
        work = Work(Path(scratch), "esm2-8m", "cpu")
        for title, chains in CHAINS.items():
            gate = equality_gate(work, chains)
            print(f"{title}: largest difference of a logit before training {gate:.1e}")
            if gate > _SAME_LOGIT:
                raise SystemExit("the two do not compute the same: nothing is compared")
            of = results.setdefault(title, {"equality gate": gate})
            both = ("fp32", "bf16")
            if given.only in {None, "epoch"}:
                of["epoch"] = per_epoch(work, chains, rows=rows, rounds=rounds, precisions=both)
                _show(f"{title}, one epoch", of["epoch"])
            if given.only in {None, "job"} and title == "VH":
                of["job"] = whole_job(work, chains, rows=job_rows, rounds=rounds, epochs=epochs)
                _show(f"{title}, whole job of {epochs} epochs", of["job"])
            if given.only in {None, "loss"} and title == "VH":
                of["loss"] = final_losses(work, chains, rows=rows, epochs=2, seeds=(1, 2, 3))
                print(f"  final losses: {of['loss']}")
            if given.only in {None, "embedding"}:
                of["embedding"] = embedding(work, chains, rows=2 * rows, rounds=rounds, precisions=both)
                _show(f"{title}, embeddings", of["embedding"])
                if min(of["embedding"]["lowest cosine"].values()) < _SAME_DIRECTION:
                    print(f"    below {_SAME_DIRECTION}: not the same embeddings")
    given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
