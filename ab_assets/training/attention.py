"""How much attention each IMGT position receives in each layer, before and after fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import torch

from ab_assets.models.tokenization import FIRST_RESIDUE
from ab_assets.tables import ATTENTION, conform
from ab_assets.training.trunk import length_batches, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ab_assets.models.encoders import Encoder, LayerStack


def attention_table(
    encoder: Encoder,
    tops: Mapping[str, LayerStack],
    rows: pl.DataFrame,
    *,
    split: int,
    chain_names: Sequence[str],
) -> pl.DataFrame:
    """Return ATTENTION over CURATED `rows`, averaged over heads, over residues that attend, and over antibodies.

    `tops`: by model state the layers from `split` to the last; the layers before are shared by all states. Attention
    to and from the special tokens is left out; rows without IMGT positions do not count.
    """
    parts: list[pl.DataFrame] = []
    for chain in chain_names:
        numbered = rows.filter(pl.col(chain).is_not_null() & pl.col(f"{chain}_positions").is_not_null())
        by_sequence = dict(zip(numbered[chain].to_list(), numbered[f"{chain}_positions"].to_list(), strict=True))
        received = received_attention(encoder, tops, sorted(by_sequence), split=split)
        for (state, sequence), layers in received.items():
            seen = layers.shape[1]
            positions = by_sequence[sequence][:seen]
            for layer, values in enumerate(layers.tolist()):
                parts.append(
                    pl.DataFrame(
                        {
                            "model_state": state,
                            "layer": layer,
                            "chain": chain,
                            "position": positions,
                            "attention": values,
                        }
                    )
                )
    if not parts:
        return pl.DataFrame(schema=ATTENTION)
    table = (
        pl.concat(parts)
        .group_by("model_state", "layer", "chain", "position")
        .agg(pl.col("attention").mean(), pl.len().cast(pl.Int64).alias("antibodies"))
        .sort("model_state", "chain", "layer", "position", descending=[True, False, False, False])
    )
    return conform(table, ATTENTION)


def received_attention(
    encoder: Encoder, tops: Mapping[str, LayerStack], sequences: Sequence[str], *, split: int
) -> dict[tuple[str, str], Tensor]:
    """Return by (model state, sequence) the mean attention each residue receives: (layer, residue) float32."""
    received: dict[tuple[str, str], Tensor] = {}
    trunk = encoder.stack(0, split)
    for batch in length_batches(sequences, encoder):
        chosen = [sequences[i] for i in batch]
        ids, mask = tokens(encoder, chosen)
        with torch.inference_mode(), encoder.autocast():
            with trunk.recorded_attention() as below:
                hidden = trunk(encoder.embed(ids, mask), mask)
            for state, top in tops.items():
                with top.recorded_attention() as above:
                    top(hidden, mask)
                # (layer, chain, query, key), mean over heads
                weights = torch.stack([one.float().mean(dim=1).cpu() for one in [*below, *above]])
                for index, sequence in enumerate(chosen):
                    stop = FIRST_RESIDUE + min(len(sequence), encoder.max_length)
                    residues = weights[:, index, FIRST_RESIDUE:stop, FIRST_RESIDUE:stop]
                    received[state, sequence] = residues.mean(dim=1)
    return received
