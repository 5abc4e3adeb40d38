"""The stored data of a run: the only terms that scenarios and reports share.

The folder of one run:

    results/<utc time>-<command>-<short id>/
      run.json         what, where, when, with which plan, seed and versions; written at the start,
                       closed at the end
      samples/ load/ probe/
                       append-only lines while running: one file per writer, sealed into the three
                       below
      samples.parquet  one row per request, sealed from the spool: answered, failed, unfinished or
                       never sent
      load.parquet     the generator's own view: in-flight counter, lateness, CPU; never derived
                       from the rows
      probe.parquet    the server's view over time: loop lag, threads busy and waiting, executor
                       queue, CPU, memory
      log.txt          what the app and Locust printed
      report/          derived; may be deleted and rendered again

It loads inside every Locust worker: nothing heavy is imported at the top of a file. All times are
seconds on the machine's monotonic clock since the run's start. Data is written once: a line when a
request leaves and a line when it ends, on disk within half a second, so that kill -9 of any process
loses a second at most, and what was in flight is a lower bound. Sealing makes Parquet of it;
reading never writes, and reads unsealed runs as well.
"""
