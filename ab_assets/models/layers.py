"""Running layers one by one: their positions, their padding mask, and the last one for the first token only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ab_assets.models.attention import attend
from ab_assets.models.families import part

if TYPE_CHECKING:
    from ab_assets.models.families import FamilyParts


class Sinusoids(nn.Module):
    """RoFormer's table of sines and cosines as what it is: no weight that could learn."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.detach(), persistent=False)
        self.table: Tensor

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the rows for the tokens of `hidden`: (1, 1, token, feature of a head)."""
        return self.table[None, None, : hidden.shape[1]]


class Rotary(nn.Module):
    """The angles by which queries and keys are rotated: (cos, sin), each (1, token, feature of a head)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the angles for the tokens of `hidden`."""
        positions = torch.arange(hidden.shape[1], device=hidden.device).unsqueeze(0)
        angles: tuple[Tensor, Tensor] = self.module(hidden, positions)
        return angles


class FusedIntermediate(nn.Module):
    """The first half of ESM's feed-forward with the exact GELU as one operation, where transformers takes five."""

    def __init__(self, intermediate: nn.Module) -> None:
        super().__init__()
        self.dense: Any = intermediate.dense

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (batch, token, wide feature) from (batch, token, feature)."""
        wide: Tensor = self.dense(hidden)
        return functional.gelu(wide)


def positions_of(model: Any, parts: FamilyParts) -> nn.Module | None:  # noqa: ANN401 - a transformers model
    """Return the module that turns states into what the layers need to know of positions, None if nothing."""
    module = part(model, parts.rotary) if parts.rotary else None
    if module is None:
        return None
    return Sinusoids(module.weight) if parts.positions == "sinusoidal_pos" else Rotary(module)


def attention_mask(mask: Tensor | None, hidden: Tensor, *, eager: bool) -> Tensor | None:
    """Return what attention takes for a (batch, token) mask, broadcastable to (batch, head, query, key).

    None where nothing is padded. Boolean for the fused kernels, to be added to the scores for the eager ones.
    """
    if mask is None or bool(mask.all()):
        return None
    keys = mask[:, None, None, :]
    if not eager:
        return keys
    return torch.zeros_like(keys, dtype=hidden.dtype).masked_fill(~keys, torch.finfo(hidden.dtype).min)


def first_token(
    layer: Any,  # noqa: ANN401 - a transformers layer
    hidden: Tensor,
    mask: Tensor | None,
    positions: Any,  # noqa: ANN401 - of the family's own kind
    parts: FamilyParts,
) -> Tensor:
    """Return what `layer` makes of the first token: (batch, token, feature) -> (batch, 1, feature).

    Keys and values are computed for all tokens, everything else for the first alone. Its query needs no rotation: the
    angle at position 0 is zero.
    """
    attention = layer.attention
    projections = part(layer, parts.attention)
    states = attention.LayerNorm(hidden) if parts.norm_first else hidden
    query, key, value = (
        project(some).unflatten(-1, (-1, projections.attention_head_size)).transpose(1, 2)
        for project, some in (
            (projections.query, states[:, :1]),
            (projections.key, states),
            (projections.value, states),
        )
    )
    key, value = _rotated(projections, key, value, positions, parts)
    dropout = projections.dropout.p if isinstance(projections.dropout, nn.Dropout) else projections.dropout
    context = attend(query, key, value, mask, dropout=dropout if layer.training else 0.0)
    attended = attention.output(context.transpose(1, 2).flatten(2), hidden[:, :1])
    made: Tensor = layer.feed_forward_chunk(attended)
    return made


def _rotated(
    projections: Any,  # noqa: ANN401 - a transformers module
    key: Tensor,
    value: Tensor,
    positions: Any,  # noqa: ANN401 - of the family's own kind
    parts: FamilyParts,
) -> tuple[Tensor, Tensor]:
    if positions is None:
        return key, value
    if parts.positions == "sinusoidal_pos":
        turned = projections.apply_rotary_position_embeddings(positions, key, value)
        return turned[0], turned[1] if projections.rotary_value else value
    cos, sin = (angle.unsqueeze(1) for angle in positions)
    wide = key.float()
    left, right = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-right, left), dim=-1) * sin).to(key.dtype), value
