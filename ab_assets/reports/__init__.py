"""One page a scientist can read and a colleague can check."""
