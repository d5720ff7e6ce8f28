"""How much attention each IMGT position receives in each layer, before and after fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import torch

from ab_assets.models.encoders import WholeStack
from ab_assets.tables import ATTENTION, conform
from ab_assets.training.data import examples_of, unique_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ab_assets.models.encoders import Encoder, LayerStack
    from ab_assets.models.tokenization import Text
    from ab_assets.training.trunk import FrozenTrunk


def attention_table(
    encoder: Encoder,
    tops: Mapping[str, LayerStack],
    rows: pl.DataFrame,
    *,
    trunk: FrozenTrunk,
    chain_names: Sequence[str],
    joined: bool = False,
) -> pl.DataFrame:
    """Return ATTENTION over CURATED `rows`, averaged over heads, over residues that attend, and over antibodies.

    `tops`: by model state the layers after the trunk's; the trunk's are shared by all states. Attention to and from
    the special tokens is left out; rows without IMGT positions do not count. `joined`: chains share a text, and the
    residues of both attend.
    """
    examples = examples_of(rows, task="paratope", chain_names=tuple(chain_names), joined=joined)
    positions = {
        (row["row_id"], chain): row[f"{chain}_positions"] for row in rows.iter_rows(named=True) for chain in chain_names
    }
    received = received_attention(encoder, tops, unique_texts(examples), trunk=trunk)
    parts: list[pl.DataFrame] = []
    counted: set[tuple[str, Text]] = set()
    for example in examples:
        (text,) = example.texts
        for number, chain in enumerate(example.scored):
            numbering = positions[example.row_id, chain]
            if numbering is None or (chain, text) in counted:
                continue
            counted.add((chain, text))
            for state in tops:
                for layer, values in enumerate(received[state, text][number].tolist()):
                    described = {"model_state": state, "layer": layer, "chain": chain, "attention": values}
                    parts.append(pl.DataFrame(described | {"position": numbering[: len(values)]}))
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
    encoder: Encoder, tops: Mapping[str, LayerStack], texts: Sequence[Text], *, trunk: FrozenTrunk
) -> dict[tuple[str, Text], tuple[Tensor, ...]]:
    """Return by (model state, text) the mean attention each residue receives: per chain (layer, residue) float32."""
    received: dict[tuple[str, Text], tuple[Tensor, ...]] = {}
    below = encoder.stack(0, trunk.split)
    for chosen in trunk.batches(texts):
        batch = trunk.batch(chosen, embedded=False)
        with torch.inference_mode(), encoder.autocast():
            with below.recorded_attention() as frozen:
                hidden = below(encoder.embed(batch.ids, batch.mask), batch.mask)
            for state, top in tops.items():
                start = top.embed(batch.ids, batch.mask) if isinstance(top, WholeStack) else hidden
                with top.recorded_attention() as above:
                    top(start, batch.mask)
                # (layer, text, query, key), mean over heads
                weights = torch.stack([one.float().mean(dim=1).cpu() for one in [*frozen, *above]])
                for row, text in enumerate(chosen):
                    spans = [slice(chain.start, chain.start + chain.seen) for chain in trunk.tokenized(text).chains]
                    attending = torch.cat([weights[:, row, span] for span in spans], dim=1).mean(dim=1)
                    received[state, text] = tuple(attending[:, span] for span in spans)
    return received
