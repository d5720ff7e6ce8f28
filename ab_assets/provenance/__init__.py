"""Where a result comes from, what it once was, and what has changed since."""
