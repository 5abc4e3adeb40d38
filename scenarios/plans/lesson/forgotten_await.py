"""What a client gets where an `await` was forgotten, and what the compiler says: questions only, no load."""

from scenarios.plans.model import Act

SHAPES = ("returned", "in-dict", "in-text", "condition", "saved")
ASKS = tuple(f"/pitfall/{how}/{shape}" for shape in SHAPES for how in ("forgotten", "awaited"))

ACTS = (Act("pitfalls", 0.0, (), asks=(*ASKS, "/pitfall/collected", "/pitfall/compiles"), lab=True),)
