"""Apps under load: each is a FastAPI app that uvicorn serves in its own process.

The example app (`app.py`) does the same work in several ways, with the routes of `lesson` and
`neighbours.py`; `antipatterns` shows each mistake next to its fix. Only `agent` measures.
"""
