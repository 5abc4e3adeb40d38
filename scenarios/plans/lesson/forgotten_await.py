"""What a client gets where an `await` was forgotten, and what the compiler says: no load."""

from scenarios.plans.model import Session

_PITFALL_SHAPES = ("returned", "in-dict", "in-text", "condition", "saved")
PITFALL_PATHS = tuple(
    f"/pitfall/{how}/{shape}" for shape in _PITFALL_SHAPES for how in ("forgotten", "awaited")
)

_PATHS = (*PITFALL_PATHS, "/pitfall/collected", "/pitfall/compiles")
SESSIONS = (Session("pitfalls", 0.0, (), extra_requests=_PATHS, has_lesson_routes=True),)
