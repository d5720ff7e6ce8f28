"""From a language model to predictions on held-out antibodies."""
