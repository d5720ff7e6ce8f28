"""What the assets are given: the home with its store, compute, and how far they are."""
