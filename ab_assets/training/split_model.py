"""A model as ranks hold it: the frozen layers beside those that learn, in one module that they can share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ab_assets.models.encoders import LayerStack
    from ab_assets.training.heads import TunedModel
    from ab_assets.training.trunk import TextStates


class SplitModel(nn.Module):
    """Frozen layers, in evaluation mode and without gradients, and the layers and the head that learn from them."""

    def __init__(self, frozen: LayerStack, tuned: TunedModel) -> None:
        super().__init__()
        self.frozen = frozen
        self.tuned = tuned

    def forward(
        self, texts: Sequence[TextStates] = (), *, hidden: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return the logits of `texts`; or of `hidden`, embedded tokens, the states after the frozen layers."""
        if hidden is None:
            logits: Tensor = self.tuned(texts)
            return logits
        with torch.no_grad():
            states: Tensor = self.frozen(hidden, mask)
        return states

    def train(self, mode: bool = True) -> SplitModel:  # noqa: FBT001, FBT002 - as nn.Module
        """Switch dropout of what learns on or off."""
        super().train(mode)
        self.frozen.eval()
        return self
