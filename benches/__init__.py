"""Comparisons with other tools, for developers."""
