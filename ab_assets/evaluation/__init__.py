"""What the scores are worth: baselines, metrics, intervals, comparisons."""
