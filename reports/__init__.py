"""What it means. Reads results, judges, draws. Never runs anything, and writes only below a run's `report/`.

The order of thought, one file each: `load` opens the evidence, `windows` cuts the steady part,
`percentiles` and `offered` count, `queueing` knows the theory, `replayed` and `spectrum` hold a
load against it, `study` holds all numbers; `trust` says whether to believe them, `findings`,
`loads` and `claims` judge, `charts/` draws; `report` puts it together, as `page`, `terminal` and
`summary`.
"""
