"""The options of a doctor run as typed. A flag is a field: its name, type, default and help."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

Texts = list[str] | None


@dataclass(frozen=True, kw_only=True)
class DoctorFlags:
    """The flags of `atonce doctor` on the app and its examination."""

    app_dir: Annotated[
        Path | None, Option(help="Folder to import the app from. Default: the current one.")
    ] = None
    factory: Annotated[
        bool, Option("--factory", help="MODULE:APP is a function that returns the app.")
    ] = False
    python: Annotated[
        str | None, Option(help="Interpreter or environment of the app. Default: the active one.")
    ] = None
    workers: Annotated[int, Option(min=1, max=32, help="Worker processes of the app.")] = 1
    loop: Annotated[Literal["auto", "asyncio", "uvloop"], Option(help="Event loop of the app.")] = (
        "auto"
    )
    env: Annotated[Texts, Option(help="KEY=VALUE for the app, never shown. Repeatable.")] = field(
        default=None, repr=False
    )
    env_file: Annotated[Path | None, Option(help="File of KEY=VALUE lines for the app.")] = None
    start: Annotated[str, Option(help="Command that starts the app; needs --url.")] = ""
    url: Annotated[str, Option(help="URL of the app that --start starts.")] = ""
    route: Annotated[
        Texts, Option(help="Examine this route as well: 'POST /search'. Repeatable.")
    ] = None
    only: Annotated[
        Texts, Option(help="Leave out all but such and named routes: '/api/*'. Repeatable.")
    ] = None
    exclude: Annotated[
        Texts, Option(help="Leave out such routes, even if named: '/admin/*'. Repeatable.")
    ] = None
    param: Annotated[Texts, Option(help="Value of a parameter: item_id=1. Repeatable.")] = field(
        default=None, repr=False
    )
    header: Annotated[
        Texts, Option(help="Header, never shown: 'Authorization: Bearer ...'. Repeatable.")
    ] = field(default=None, repr=False)
    body: Annotated[
        Texts, Option(help="Body of a route: 'POST /search=@query.json'. Repeatable.")
    ] = field(default=None, repr=False)
    budget: Annotated[str, Option(help="Total time; routes beyond it stay unknown.")] = "8m"
    requests: Annotated[int, Option(min=1000, max=200_000, help="Maximum requests per route.")] = (
        20_000
    )
    stop_within: Annotated[str, Option(help="Kill an app that takes longer to stop.")] = "10s"
    gate: Annotated[
        Texts, Option(help="Exit 1 if this fails: 'p99(GET /x) @ 16u < 250ms'. Repeatable.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(DoctorFlags):
    """All that the user typed, not yet parsed."""

    target: str = ""
    allow_host: str | None = None
    cacert: Path | None = None
    insecure: bool = False
    seed: int = 1
    # The launch flags that the user gave, even with their default value
    given: frozenset[str] = frozenset()
