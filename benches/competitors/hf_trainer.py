"""The usual way: transformers' own classifier and Trainer, padding to the maximum or to the longest of a batch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

    from ab_assets.models.tokenization import ResidueTokenizer
    from ab_assets.training.data import Example, FitData
    from ab_assets.training.recipe import Recipe


@dataclass
class Outcome:
    """Seconds per epoch with its validation, seconds of all, and the mean loss of each epoch."""

    epochs: list[float] = field(default_factory=list)
    total: float = 0.0
    losses: list[float] = field(default_factory=list)


def classifier(directory: Path, trainable_layers: int, *, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return EsmForSequenceClassification over the saved model, all but its last layers and its head frozen."""
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        directory, num_labels=1, problem_type="multi_label_classification", attn_implementation="sdpa", dtype=dtype
    )
    for weight in model.esm.parameters():
        weight.requires_grad_(False)
    learning = [*model.esm.encoder.layer[-trainable_layers:], model.esm.encoder.emb_layer_norm_after]
    for module in learning:
        module.requires_grad_(True)
    return model


class Rows(torch.utils.data.Dataset):
    """Token ids and label of each example, padded to `pad_to` where that is given."""

    def __init__(self, examples: tuple[Example, ...], tokenizer: ResidueTokenizer, pairing: Any, pad_to: int) -> None:
        self._rows = []
        for example in examples:
            ids = list(tokenizer.encode(example.texts[0], 1022, pairing).ids)
            mask = [1] * len(ids) + [0] * max(0, pad_to - len(ids))
            ids += [tokenizer.pad] * max(0, pad_to - len(ids))
            self._rows.append({"input_ids": ids, "attention_mask": mask, "labels": [float(example.labels[0])]})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]


def collate(rows: list[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Return a batch, padded to its longest row."""
    width = max(len(row["input_ids"]) for row in rows)
    return {
        "input_ids": torch.tensor([r["input_ids"] + [pad] * (width - len(r["input_ids"])) for r in rows]),
        "attention_mask": torch.tensor([r["attention_mask"] + [0] * (width - len(r["attention_mask"])) for r in rows]),
        "labels": torch.tensor([r["labels"] for r in rows]),
    }


def train(
    directory: Path,
    data: FitData,
    recipe: Recipe,
    tokenizer: ResidueTokenizer,
    pairing: Any,
    out: Path,
    *,
    seed: int,
    pad_to: int = 0,
    bf16: bool = False,
) -> Outcome:
    """Run the whole job: load, train with a validation after each epoch, keep nothing on disk."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    outcome = Outcome()
    started = time.perf_counter()

    class Clock(TrainerCallback):
        begun = 0.0

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.begun = time.perf_counter()

        def on_evaluate(self, *_: Any, metrics: dict[str, float], **__: Any) -> None:
            outcome.epochs.append(time.perf_counter() - self.begun)
            outcome.losses.append(metrics["eval_loss"])

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = classifier(directory, recipe.trainable_layers or 3, seed=seed)
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_gradient_norm,
        lr_scheduler_type="linear",
        warmup_steps=0,
        optim="adamw_torch",
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
        bf16=bf16,
        seed=seed,
        remove_unused_columns=False,
        dataloader_pin_memory=device == "cuda",
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Rows(data.train, tokenizer, pairing, pad_to),
        eval_dataset=Rows(data.validation, tokenizer, pairing, pad_to),
        data_collator=lambda rows: collate(rows, tokenizer.pad),
        callbacks=[Clock()],
    )
    trainer.remove_callback(_printer())
    trainer.train()
    outcome.total = time.perf_counter() - started
    return outcome


def _printer() -> type:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
