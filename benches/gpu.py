"""On a GPU: fine-tuning and embedding at the 650M shape beside the usual way, the frozen pass against the measured
peak of a matrix product, and ESM-2 15B's last three layers on one card. Random weights; ratios, not scores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ab_assets.models.encoders import Encoder
from ab_assets.models.families import classes
from ab_assets.models.specification import Pairing
from ab_assets.models.tokenization import ResidueTokenizer, vocabulary_of
from ab_assets.models.twins import ESM_TOKENS
from ab_assets.progress import silent
from ab_assets.training.heads import TunedModel
from ab_assets.training.loop import fine_tune
from ab_assets.training.trunk import FrozenTrunk
from benches.fine_tuning import CHAINS, Work, _show, embedding, equality_gate, per_epoch
from benches.language_model import SHAPES, abflow, esm_config, examples, fit_data


def matrix_peak(device: str, *, size: int = 8192, rounds: int = 20) -> float:
    """Return the TFLOP/s of a bf16 matrix product of `size` x `size`, the best of `rounds`."""
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        _settle(device)
        started = time.perf_counter()
        one @ other
        _settle(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e12


def random_encoder(shape: str, device: str, dtype: torch.dtype) -> Encoder:
    """Return an encoder of `shape` made on the device itself: 15 B parameters fit no CPU copy."""
    model_class, config_class = classes("esm")
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = model_class(config_class(**esm_config(shape), attn_implementation="sdpa"), add_pooling_layer=False)
    finally:
        torch.set_default_dtype(usual)
    for name, buffer in model.rotary_embeddings.named_buffers():  # angles in float32, as `load_encoder` leaves them
        setattr(model.rotary_embeddings, name, buffer.float())
    precision = "bf16" if dtype == torch.bfloat16 else "fp32"
    tokenizer = ResidueTokenizer(vocabulary_of(ESM_TOKENS))
    pairing = Pairing(context="joined", separator=("<cls>", "<cls>"))
    return Encoder(model, tokenizer, family="esm", max_length=1022, precision=precision, pairing=pairing)


def frozen_pass(encoder: Encoder, *, rows: int, peak: float) -> dict[str, float]:
    """Return the share of the matrix product's peak that the frozen layers reach, padding not counted as work."""
    split = encoder.layer_count - 3
    texts = [example.texts[0] for example in examples(rows, ("vh",), seed=4)]
    FrozenTrunk(encoder, split).ensure(texts[:64])
    trunk = FrozenTrunk(encoder, split)
    tokens = sum(len(trunk.tokenized(text).ids) for text in texts)
    _settle(encoder.device.type)
    started = time.perf_counter()
    trunk.ensure(texts)
    _settle(encoder.device.type)
    seconds = time.perf_counter() - started
    weights = sum(weight.numel() for weight in encoder.stack(0, split).parameters() if weight.ndim == 2)
    return {"seconds": seconds, "tokens": tokens, "share of peak": 2 * weights * tokens / seconds / 1e12 / peak}


def one_card(shape: str, device: str, *, rows: int, batch: int) -> dict[str, Any]:
    """Train the last three layers of `shape` over a frozen trunk on one device; return seconds and memory."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    encoder = random_encoder(shape, device, _narrow(device))
    recipe = abflow(epochs=1, batch_size=batch)
    data = fit_data(rows, 8, ("vh",))
    split = encoder.layer_count - 3
    stack = encoder.trainable_copy(split)
    model = TunedModel(stack, width=encoder.width, pooled=1, task=data.task, recipe=recipe).to(device)
    started = time.perf_counter()
    history = fine_tune(model, data, FrozenTrunk(encoder, split), recipe, seed=1, progress=silent)
    _settle(device)
    return {
        "seconds": time.perf_counter() - started,
        "parameters": sum(weight.numel() for weight in encoder.model.parameters()),
        "learning": sum(weight.numel() for weight in model.trainable_weights().values()),
        "train loss": history.epochs[0].train_loss,
        "peak GiB": torch.cuda.max_memory_allocated() / (1 << 30) if device == "cuda" else None,
    }


def _narrow(device: str) -> torch.dtype:
    """Return the type of frozen weights, as a session loads them."""
    return torch.bfloat16 if device == "cuda" else torch.float32


def _settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Run what the device can do and write bench-gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="alternations (default 5)")
    parser.add_argument("--rows", type=int, default=2048, help="training texts of an epoch (default 2048)")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="esm2-650m", help="what is compared")
    parser.add_argument("--large", choices=sorted(SHAPES), default="esm2-15b", help="what is trained on one card")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: does it run?")
    parser.add_argument("--out", type=Path, default=Path("bench-gpu.json"), help="where to write")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU is here; --device cpu --shape esm2-8m --large esm2-8m --rows 32 shows that it runs")
    on_gpu = given.device == "cuda"
    results: dict[str, Any] = {"device": torch.cuda.get_device_name() if on_gpu else "cpu", "torch": torch.__version__}
    results["matrix product TFLOP/s"] = peak = matrix_peak(given.device, size=8192 if on_gpu else 512)
    print(f"{results['device']}: {peak:.0f} TFLOP/s in a bf16 matrix product")
    with tempfile.TemporaryDirectory() as scratch:
        work = Work(Path(scratch), given.shape, given.device)
        for title, chains in CHAINS.items():
            gate = equality_gate(work, chains)
            print(f"{title}: largest difference of a logit before training {gate:.1e}")
            of = results.setdefault(title, {"equality gate": gate})
            of["epoch"] = per_epoch(work, chains, rows=given.rows, rounds=given.rounds, precisions=("bf16",), bf16=True)
            _show(f"{title}, one epoch", of["epoch"])
            of["embedding"] = embedding(work, chains, rows=given.rows, rounds=given.rounds, precisions=("bf16",))
            _show(f"{title}, embeddings", of["embedding"])
    encoder = random_encoder(given.shape, given.device, _narrow(given.device))
    results["frozen pass"] = frozen_pass(encoder, rows=given.rows, peak=peak)
    del encoder
    print(f"frozen pass: {results['frozen pass']['share of peak']:.0%} of the peak")
    results["one card"] = one_card(given.large, given.device, rows=min(256, given.rows), batch=64)
    print(f"{given.large}, last three layers on one card: {results['one card']}")
    given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
