"""Figures that no test asks for: accuracy, cost and peers. Each is `python -m benchmarks.NAME`."""
