"""Reports: read results, compute numbers, judge them and render the outcome.

Never runs a measurement, and writes only below a run's `report/`. In order of use: `metrics` reads
a run's files and computes all numbers, with the theory in `stats`; `checks` decides how far they
can be trusted; `verdicts`, `claims` and `selfcheck` judge them; `report` combines all of this into
the `Report` of `model`; `render` writes it as page, terminal text and summary, with `charts`;
`gates` evaluates a summary.
"""
