"""What a benchmark is: one question asked of one dataset."""
