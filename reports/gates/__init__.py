"""Gates of a run: conditions that decide the exit code."""
