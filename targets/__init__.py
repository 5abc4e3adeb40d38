"""Apps under load. Nothing here knows that it is measured, except the probe.

A target is a FastAPI app that uvicorn serves in a process of its own. The example app does the same
work several ways, so that the way is the only difference: `lesson/waiting.py` is the heart, the
other files of `lesson` are the routes of the course, `neighbours.py` has the neighbours. This room
imports no other room: names travel over HTTP.
"""
