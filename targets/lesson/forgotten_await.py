"""Forgotten awaits, each followed by the correct route, and the compiler on `await` in `def`.

A coroutine gets lost in five ways: returned, returned in a dict, put into a text, used as a
condition, and called only for its effect. Type checkers find three of them, at each `type: ignore`;
they accept the text and the condition.
"""

import gc
import platform

# else the first warning imports it, and coroutines collected during this import cause no warning
import tracemalloc  # noqa: F401
import warnings
from typing import Any

from fastapi import APIRouter

router = APIRouter(tags=["pitfalls"])


async def user_of(number: int) -> dict[str, Any]:
    """Return a user, as a database would."""
    return {"id": number, "name": "Ada"}


async def cart_of(number: int) -> list[str]:
    """Return the cart of a user."""
    return [f"book {number}"]


async def name_of(number: int) -> str:
    """Return the name of a user."""
    return f"Ada {number}"


async def is_admin(number: int) -> bool:
    """Return whether a user is an admin; none is."""
    return number < 0


async def save(number: int, store: list[int]) -> None:
    """Store a number, as a commit would."""
    store.append(number)


@router.get("/pitfall/forgotten/returned", response_model=None)
async def returned_forgotten() -> dict[str, Any]:
    """Return the coroutine."""
    return user_of(7)  # type: ignore[return-value]  # the mistake itself


@router.get("/pitfall/awaited/returned", response_model=None)
async def returned_awaited() -> dict[str, Any]:
    """Return the user."""
    return await user_of(7)


@router.get("/pitfall/forgotten/in-dict", response_model=None)
async def in_dict_forgotten() -> dict[str, list[str]]:
    """Put the coroutine into the answer."""
    return {"cart": cart_of(7)}  # type: ignore[dict-item]  # the mistake itself


@router.get("/pitfall/awaited/in-dict", response_model=None)
async def in_dict_awaited() -> dict[str, list[str]]:
    """Put the cart into the answer."""
    return {"cart": await cart_of(7)}


@router.get("/pitfall/forgotten/in-text", response_model=None)
async def in_text_forgotten() -> dict[str, str]:
    """Greet the coroutine. No error: every object has a text."""
    return {"greeting": f"Hello {name_of(7)}"}


@router.get("/pitfall/awaited/in-text", response_model=None)
async def in_text_awaited() -> dict[str, str]:
    """Greet the user."""
    return {"greeting": f"Hello {await name_of(7)}"}


@router.get("/pitfall/forgotten/condition", response_model=None)
async def condition_forgotten() -> dict[str, list[str]]:
    """Show all orders to every user. No error: a coroutine is true."""
    return {"orders": ["mine", "another user's"] if is_admin(7) else ["mine"]}


@router.get("/pitfall/awaited/condition", response_model=None)
async def condition_awaited() -> dict[str, list[str]]:
    """Show all orders to admins only."""
    return {"orders": ["mine", "another user's"] if await is_admin(7) else ["mine"]}


@router.get("/pitfall/forgotten/saved", response_model=None)
async def saved_forgotten() -> dict[str, str]:
    """Save nothing, and answer that it is saved, as a forgotten `await session.commit()` does."""
    store: list[int] = []
    save(7, store)  # type: ignore[unused-coroutine]  # the mistake itself
    return {"answer": "saved"}


@router.get("/pitfall/awaited/saved", response_model=None)
async def saved_awaited() -> dict[str, str]:
    """Save, and answer that it is saved."""
    store: list[int] = []
    await save(7, store)
    return {"answer": "saved"}


@router.get("/pitfall/collected", response_model=None)
async def collected() -> dict[str, bool]:
    """Collect garbage now, which warns of lost coroutines that a traceback kept alive."""
    gc.collect()
    return {"collected": True}


SOURCES = {
    "await in def": "def route():\n    return await call()",
    "await in async def": "async def route():\n    return await call()",
    "await in def in async def": "async def route():\n    def inner():\n"
    "        return await call()",
    "await in a generator in def": "def route():\n    return (await call() for call in calls)",
    "no await in async def": "async def route():\n    time.sleep(1)",
}


@router.get("/pitfall/compiles", response_model=None)
async def compiles() -> dict[str, str]:
    """Compile each piece of source; nothing of it runs."""
    messages = {name: _compiler_message(source) for name, source in SOURCES.items()}
    return {"python": platform.python_version(), **messages}


def _compiler_message(source: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(source, "route.py", "exec")
        except (SyntaxError, Warning) as error:
            return f"{type(error).__name__}: {error.args[0]}"
    return "compiled"
