"""How to send load. The scenario files are locustfiles; the packages below are the machinery.

A scenario is a way to ask: `burst` (all at one instant), `crowd` (users that wait for their
answers: the closed model), `steady` (arrivals at a rate, whatever becomes of them: the open model),
`neighbours` (other routes, asked at the same time). Locust runs them, always in its own process,
because importing it patches the interpreter. Either our driver starts it and begins cell after
cell, or plain Locust is started by hand, and the cells begin and end with its test. Traps that
shaped this package:

- Locust registers a locustfile under its bare stem, so no stem here may be the name of a standard
  module.
- It puts the working directory first on `sys.path`, where another `results` may lie: each
  locustfile puts our packages before that, and the driver starts Locust in the run's folder.
- Requests in flight when Locust stops vanish from its statistics, so `recorder.py` writes them down
  when they leave, and the end of a test waits until they are answered.
- Users that wait for answers slow down with the server, so an open model has no users but a
  dispatcher.
- On a blocked loop uvloop accepts one new connection per turn, so connections are opened before the
  load.
- Locust forks its workers after the import: nothing random, no socket and no file may be made by
  importing.
"""
