"""Results on disk: named by what made them, published whole or not at all."""
