"""Statistics that know nothing of a run: quantiles, intervals, queues, tests."""
