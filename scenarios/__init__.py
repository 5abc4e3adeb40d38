"""How to press. Every plain file is a locustfile; every _file is machinery.

A scenario is a way to ask: `burst` (all at one instant), `crowd` (users who wait for their answers), `neighbours`
(innocent routes, asked meanwhile). Locust runs them, always in a process of its own, because importing it patches
the interpreter. Traps that shaped this room:

- Locust registers a locustfile under its bare stem, so no stem here may be the name of a standard module.
- The working directory stays first on `sys.path`, so Locust is started in the run's folder, with the rooms on PYTHONPATH.
- Requests in flight when Locust stops vanish from its statistics, so `_recorder.py` writes them down when they leave.
- On a held loop uvloop accepts one new connection per turn, so all connections are opened before the load.
"""
