"""Apps under load. Nothing here knows that it is being measured, except the probe.

A target is a FastAPI app that uvicorn serves in a process of its own. The example app does the same
work several ways, so that the way is the only difference: `variants.py` is the heart, `lesson.py`
the routes of the course, `neighbours.py` the innocent bystanders. This room imports no other room:
names travel over HTTP.
"""
