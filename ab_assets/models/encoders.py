"""One encoder of any family, run in parts: embed, any range of layers, and after the last one the final norm."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ab_assets.models.specification import Family, Precision
    from ab_assets.models.tokenization import ResidueTokenizer


class LayerStack(nn.Module):
    """Consecutive layers of an encoder that run alone; the stack that holds the last layer also holds the final norm.

    Parameters are named as in the whole model (`encoder.layer.5.…`), so that saved ones load into it.
    """

    def __init__(self, model: Any, start: int, stop: int) -> None:  # noqa: ANN401 - a transformers model
        super().__init__()
        self.start = start
        self.stop = stop
        self._config = model.config
        self._layers: Any = nn.ModuleList(model.encoder.layer[start:stop])
        norm = getattr(model.encoder, "emb_layer_norm_after", None)
        self._norm = norm if start < stop == len(model.encoder.layer) else None
        self._rotary = getattr(model, "rotary_embeddings", None)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return the states after the stack: (batch, token, feature); `mask`: (batch, token), True for a token."""
        from transformers.masking_utils import create_bidirectional_mask  # noqa: PLC0415 - seconds to import

        attention_mask = create_bidirectional_mask(self._config, inputs_embeds=hidden, attention_mask=mask)
        extra = {}
        if self._rotary is not None:
            positions = torch.arange(hidden.shape[1], device=hidden.device).unsqueeze(0)
            extra["position_embeddings"] = self._rotary(hidden, positions)
        for layer in self._layers:
            hidden = layer(hidden, attention_mask=attention_mask, **extra)
        return hidden if self._norm is None else self._norm(hidden)

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return the stack's parameters under the names they have in the whole model."""
        weights = {
            f"encoder.layer.{self.start + index}.{name}": parameter
            for index, layer in enumerate(self._layers)
            for name, parameter in layer.named_parameters()
        }
        if self._norm is not None:
            weights |= {f"encoder.emb_layer_norm_after.{name}": p for name, p in self._norm.named_parameters()}
        return weights

    @contextmanager
    def recorded_attention(self) -> Iterator[list[Tensor]]:
        """While entered, each forward pass appends every layer's attention weights (batch, head, query, key) in order.

        Attention is computed eagerly meanwhile: the fused kernels never form the weights.
        """
        recorded: list[Tensor] = []

        def record(module: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401, ARG001
            recorded.append(output[1])

        fused = self._config._attn_implementation
        handles = [layer.attention.self.register_forward_hook(record) for layer in self._layers]
        self._config._attn_implementation = "eager"
        try:
            yield recorded
        finally:
            self._config._attn_implementation = fused
            for handle in handles:
                handle.remove()


class Encoder:
    """A loaded model in evaluation mode without its language-model head, and the tokenizer that belongs to it."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - a transformers model
        tokenizer: ResidueTokenizer,
        *,
        family: Family,
        max_length: int,
        precision: Precision = "fp32",
    ) -> None:
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.tokenizer = tokenizer
        self.family = family
        self.max_length = max_length
        self.precision = precision

    @property
    def layer_count(self) -> int:
        """How many layers the encoder has."""
        return len(self.model.encoder.layer)

    @property
    def width(self) -> int:
        """How many features a state has."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(iter(self.model.parameters())).device
        return device

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the model runs: its precision on a GPU, plain float32 on a CPU."""
        if self.device.type == "cuda" and self.precision == "bf16":
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the states before the first layer: (batch, token) ids and mask -> (batch, token, feature)."""
        # ESM rescales by the share of masked tokens, for which it must know what is padding
        extra = {"attention_mask": mask} if self.family == "esm" else {}
        states: Tensor = self.model.embeddings(input_ids=ids, **extra)
        return states

    def stack(self, start: int, stop: int) -> LayerStack:
        """Return layers `start` (from 0) up to `stop` (exclusive), sharing this encoder's frozen weights."""
        return LayerStack(self.model, start, stop).eval()

    def run_layers(self, hidden: Tensor, mask: Tensor, *, start: int, stop: int) -> Tensor:
        """Return the states after layers `start` up to `stop` (exclusive); the final norm belongs to the last layer."""
        states: Tensor = self.stack(start, stop)(hidden, mask)
        return states

    def trainable_copy(self, start: int) -> LayerStack:
        """Return a copy of the layers from `start` to the last that learns on its own; the encoder never changes.

        With no layer left (`start` = layer count) it holds nothing that learns.
        """
        return copy.deepcopy(self.stack(start, self.layer_count)).requires_grad_(requires_grad=True)
