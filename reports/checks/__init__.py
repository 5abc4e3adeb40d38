"""The checks of a run: host, load generator, answers, and stability.

Each check has an id, `V1` to `V24`, and stands with its limits, meaning and remedy in one entry of
its topic's file. See docs/method.md, Checks V1 to V24. A check reads `RunMetrics` and nothing else,
so a simulated run can fail each of them.
"""
