"""The stored data of a run: the only terms that scenarios and reports share.

The folder `results/<utc time>-<command>-<short id>/` of one run:

    run.json               what, where, when, with which plan, seed and versions
    samples/ load/ probe/  lines while it runs, one file per writer; then these three tables:
    samples.parquet        a row per request: answered, failed, unfinished or never sent
    load.parquet           the generator's own view: requests in flight, lateness, CPU
    probe.parquet          the server's view over time: loop lag, threads, queues, CPU, memory
    log.txt                what the app and Locust printed
    report/                derived; may be deleted and rendered again

Every Locust worker loads this package, so no file imports anything heavy at its top. Lines reach
the disk within half a second: a crash of any process loses a second at most, and a request that was
in flight is a lower bound. Reading never writes, and reads runs that were never closed.
"""
