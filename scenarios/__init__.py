"""How to press. Every plain file is a locustfile; every _file is machinery.

A scenario is a way to ask: `burst` (all at one instant), `crowd` (users who wait for their answers:
the closed model), `steady` (arrivals at a rate, whatever becomes of them: the open model),
`neighbours` (innocent routes, asked meanwhile). Locust runs them, always in a process of its own,
because importing it patches the interpreter: started by our driver, which gives cues cell by cell,
or by anybody, and then the cells begin and end with Locust's test. Traps that shaped this room:

- Locust registers a locustfile under its bare stem, so no stem here may be the name of a standard
  module.
- It puts the working directory first on `sys.path`, where somebody's own `results` may lie: each
  locustfile puts the rooms before that, and the driver starts Locust in the run's folder.
- Requests in flight when Locust stops vanish from its statistics, so `recorder.py` writes them down
  when they leave, and the end of a test is held until they are answered.
- Users that wait for answers slow down with the server, so an open model has no users but a
  dispatcher.
- On a held loop uvloop accepts one new connection per turn, so connections are opened before the
  load.
- Locust forks its workers after the import: nothing random, no socket and no file may be made by
  importing.
"""
