"""One encoder of any family, run in parts: embed, any range of layers, and after the last one the final norm."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ab_assets.models.attention import use_fused_attention
from ab_assets.models.families import FAMILIES, part
from ab_assets.models.layers import FusedIntermediate, attention_mask, first_token, positions_of
from ab_assets.models.specification import Pairing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ab_assets.models.specification import Family, Precision
    from ab_assets.models.tokenization import ResidueTokenizer


class Embeddings(nn.Module):
    """What a model does before its first layer; weights are named as in the whole model."""

    def __init__(self, model: Any, family: Family) -> None:  # noqa: ANN401 - a transformers model
        super().__init__()
        self._parts = FAMILIES[family]
        for name in self._parts.embeddings:
            if (module := part(model, name)) is not None:
                self.add_module(name, module)

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Return the states before the first layer: (batch, token) ids and mask -> (batch, token, feature)."""
        first, *others = self.children()
        states: Tensor = first(ids, attention_mask=mask) if self._parts.embeds_mask else first(ids)
        for module in others:
            states = module(states)
        return states


class LayerStack(nn.Module):
    """Consecutive layers of an encoder that run alone; the stack that holds the last layer also holds the final norm.

    Parameters are named as in the whole model (`encoder.layer.5.…`), so that saved ones load into it.
    """

    def __init__(self, model: Any, family: Family, start: int, stop: int) -> None:  # noqa: ANN401 - a transformers model
        super().__init__()
        self.start = start
        self.stop = stop
        self._config = model.config
        self._parts = FAMILIES[family]
        layers = part(model, self._parts.layers)
        self._layers: Any = nn.ModuleList(layers[start:stop])
        norm = part(model, self._parts.final_norm) if self._parts.final_norm else None
        self._norm = norm if start < stop == len(layers) else None
        self._positions = positions_of(model, self._parts)
        self._recording = False

    def forward(self, hidden: Tensor, mask: Tensor | None, *, first_only: bool = False) -> Tensor:
        """Return the states after the stack: (batch, token, feature).

        mask: (batch, token), True for a token, or None where nothing is padded.
        first_only: return those of the first token, (batch, 1, feature); the last layer then computes no others.
        """
        eager = self._config._attn_implementation == "eager"
        keys = attention_mask(mask, hidden, eager=eager)
        positions = self._positions(hidden) if self._positions is not None else None
        last_alone = first_only and self._parts.first_alone and not self._recording and len(self._layers) > 0
        for layer in self._layers[:-1] if last_alone else self._layers:
            hidden = self._run(layer, hidden, keys, positions)
        if last_alone:
            hidden = first_token(self._layers[-1], hidden, keys, positions, self._parts)
        elif first_only:
            hidden = hidden[:, :1]
        return hidden if self._norm is None else self._norm(hidden)

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return the stack's parameters under the names they have in the whole model."""
        weights = {
            f"{self._parts.layers}.{self.start + index}.{name}": parameter
            for index, layer in enumerate(self._layers)
            for name, parameter in layer.named_parameters()
        }
        if self._norm is not None:
            weights |= {f"{self._parts.final_norm}.{name}": p for name, p in self._norm.named_parameters()}
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
        handles = [part(layer, self._parts.attention).register_forward_hook(record) for layer in self._layers]
        self._config._attn_implementation = "eager"
        self._recording = True
        try:
            yield recorded
        finally:
            self._recording = False
            self._config._attn_implementation = fused
            for handle in handles:
                handle.remove()

    def _run(self, layer: nn.Module, hidden: Tensor, mask: Tensor | None, positions: object) -> Tensor:
        extra = {self._parts.positions: positions} if positions is not None else {}
        made = layer(hidden, attention_mask=mask, **extra)
        states: Tensor = made[0] if isinstance(made, tuple) else made
        return states


class WholeStack(LayerStack):
    """All layers of an encoder with its embeddings: what learns when nothing is frozen."""

    def __init__(self, model: Any, family: Family) -> None:  # noqa: ANN401 - a transformers model
        super().__init__(model, family, 0, len(part(model, FAMILIES[family].layers)))
        self._embeddings = Embeddings(model, family)

    def embed(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Return the states before the first layer: (batch, token) ids and mask -> (batch, token, feature)."""
        states: Tensor = self._embeddings(ids, mask)
        return states

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return the parameters of embeddings and layers under the names they have in the whole model."""
        return dict(self._embeddings.named_parameters()) | super().named_weights()


class Encoder:
    """A loaded model in evaluation mode without its language-model head, and the tokenizer that belongs to it.

    pairing: how the two chains of an antibody are shown when they share a pass.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - a transformers model
        tokenizer: ResidueTokenizer,
        *,
        family: Family,
        max_length: int,
        precision: Precision = "fp32",
        pairing: Pairing | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.tokenizer = tokenizer
        self.family = family
        self.max_length = max_length
        self.precision = precision
        self.pairing = pairing or Pairing()
        self._embeddings = Embeddings(model, family)
        use_fused_attention(model.config)
        if family == "esm":
            for layer in part(model, FAMILIES[family].layers):
                layer.intermediate = FusedIntermediate(layer.intermediate)

    @property
    def layer_count(self) -> int:
        """How many layers the encoder has."""
        return len(part(self.model, FAMILIES[self.family].layers))

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
        """Return the context in which the model runs: `precision`."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def embed(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Return the states before the first layer: (batch, token) ids and mask -> (batch, token, feature).

        Under autocast they are float32: layers add to them, and sums of bfloat16 would lose what late layers add.
        """
        states: Tensor = self._embeddings(ids, mask)
        return states.float() if torch.is_autocast_enabled(ids.device.type) else states

    def move_embeddings(self, device: torch.device) -> None:
        """Take what comes before the first layer to `device`; ids and masks must come from there."""
        self._embeddings.to(device)

    def stack(self, start: int, stop: int) -> LayerStack:
        """Return layers `start` (from 0) up to `stop` (exclusive), sharing this encoder's frozen weights."""
        return LayerStack(self.model, self.family, start, stop).eval()

    def run_layers(
        self, hidden: Tensor, mask: Tensor | None, *, start: int, stop: int, first_only: bool = False
    ) -> Tensor:
        """Return the states after layers `start` up to `stop` (exclusive); the final norm belongs to the last layer."""
        states: Tensor = self.stack(start, stop)(hidden, mask, first_only=first_only)
        return states

    def trainable_copy(
        self, start: int, *, embeddings: bool = False, learning: Collection[str] | None = None
    ) -> LayerStack:
        """Return a copy of the layers from `start` to the last that learns on its own; the encoder never changes.

        With no layer left (`start` = layer count) it holds nothing that learns. With `embeddings` (from layer 0 only)
        it is a WholeStack, which starts from token ids. `learning`: the names of the weights that learn, by default
        all; the copy shares the others with the encoder. What learns is float32.

        Raises ValueError for embeddings without the layers after them.
        """
        shared = self._top(start, embeddings=embeddings)
        frozen = {} if learning is None else {n: w for n, w in shared.named_weights().items() if n not in learning}
        made = copy.deepcopy(shared, {id(weight): weight for weight in frozen.values()})
        return _learning(made, except_for=frozen)

    def trainable_self(
        self, start: int, *, embeddings: bool = False, learning: Collection[str] | None = None
    ) -> LayerStack:
        """Return the layers themselves where `trainable_copy` copies: nobody else may use the encoder's from now on."""
        shared = self._top(start, embeddings=embeddings)
        frozen = [] if learning is None else [name for name in shared.named_weights() if name not in learning]
        return _learning(shared, except_for=frozen)

    def _top(self, start: int, *, embeddings: bool) -> LayerStack:
        if embeddings and start:
            msg = f"embeddings learn with all layers, not with those from {start} on"
            raise ValueError(msg)
        return WholeStack(self.model, self.family).eval() if embeddings else self.stack(start, self.layer_count)


def _learning(stack: LayerStack, *, except_for: Collection[str]) -> LayerStack:
    for name, weight in stack.named_weights().items():
        if name not in except_for:
            weight.data = weight.data.float()  # buffers keep their type
            weight.requires_grad = True
    return stack
