"""Who may train on what, and the proof that nothing leaks."""
