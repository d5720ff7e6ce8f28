"""From files as received to one curated table."""
