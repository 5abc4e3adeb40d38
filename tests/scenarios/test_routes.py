"""Routes of any app: which are asked, how they are filled in, and what is said of the others."""

import re
from dataclasses import replace
from datetime import date, datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import Body, Cookie, Depends, FastAPI, Header, HTTPException, Query, Security
from fastapi import Path as InPath
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBearer,
    OAuth2PasswordBearer,
)
from pydantic import UUID4, BaseModel, Field, HttpUrl, IPvAnyAddress, Json

from results.errors import AtonceError, ExitCode
from scenarios.doctor import commands
from scenarios.doctor.openapi.request_builder import MAX_ALTERNATIVES
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.route_selection import RouteSelection, parse_route_selection
from scenarios.doctor.openapi.routes import UNSAFE, select_routes
from scenarios.doctor.openapi.schema_example import FORMAT_EXAMPLES
from scenarios.doctor.openapi.smoke_test import find_accepted_request
from scenarios.doctor.options import DoctorOptions
from scenarios.doctor.settings import find_over_budget, loadable_requests, route_record
from tests.support.asgi_client import served


class Colour(StrEnum):
    """What a parameter chooses from."""

    RED = "red"


class Line(BaseModel):
    """A part of an order."""

    sku: str = Field(min_length=8, max_length=8)
    count: int = Field(gt=2, le=9)
    parents: list["Line"] = []


class Order(BaseModel):
    """A body with nested bodies, constraints, formats and unions."""

    lines: list[Line] = Field(min_length=2)
    first: Line | None
    colour: Colour
    kind: Literal["gift", "sale"]
    day: date
    url: HttpUrl
    share: float = Field(gt=0, lt=1)
    pair: tuple[int, str]
    notes: dict[str, int] = Field(min_length=1)
    code: str = Field(pattern=r"^[A-Z]\d$", examples=["B7"])
    more: "Order | None" = None


class Tree(BaseModel):
    """A body that contains itself."""

    children: list["Tree"]
    twin: "Tree | int"


def shop() -> FastAPI:  # noqa: C901 - routes, one after another
    """An app of the kind that people have; all its routes answer what they were asked."""
    app = FastAPI()

    def page(size: Annotated[int, Query(ge=10, multiple_of=5)], cursor: str = "") -> str:
        return f"{size}{cursor}"

    @app.get("/items/{item_id}")
    def item(item_id: int, page: Annotated[str, Depends(page)]) -> dict[str, Any]:
        return {"item": item_id, "page": page}

    @app.head("/items/{item_id}")
    def head_item(item_id: int) -> None: ...

    @app.head("/alive")
    def head() -> None: ...

    @app.get("/all/{when}/{key}/{rest:path}")
    def everything(  # noqa: PLR0913, PLR0917 - one parameter per kind
        when: datetime,
        key: UUID4,
        rest: str,
        colour: Colour,
        tags: Annotated[list[str], Query()],
        address: IPvAnyAddress,
        flag: bool,  # noqa: FBT001 - as people write it
        deep: Json[list[int]],
        x_token: Annotated[str, Header(min_length=12)],
        session: Annotated[UUID, Cookie()],
        city: Annotated[str, Query(examples=["São Paulo/Sé"])],
        word: Annotated[str, Query(openapi_examples={"a": {"value": "a&b=c"}})],
        level: Annotated[float, InPath(gt=0)] = 3.5,
        limit: Annotated[int, Query(examples=[7])] = 100,
        unused: int = 0,
    ) -> dict[str, Any]:
        values = {
            "city": city,
            "word": word,
            "limit": limit,
            "tags": tags,
            "unused": unused,
            "rest": rest,
        }
        return values | {
            "others": [when, key, colour, address, flag, deep, x_token, session, level]
        }

    @app.post("/orders")
    def order(order: Order) -> Order:
        return order

    @app.post("/trees")
    def tree(tree: Tree) -> Tree:
        return tree

    @app.put("/pairs")
    def pair(order: Line, note: Annotated[str, Body(examples=["hi"])]) -> dict[str, Any]:
        return {"order": order, "note": note}

    @app.get("/page", response_class=HTMLResponse)
    def html() -> str:
        return ""

    @app.get("/logo")
    def logo() -> FileResponse:
        return FileResponse(__file__)

    return app


def asked_of(
    app: FastAPI | dict[str, Any], census: list[dict[str, Any]] | None = None, /, **flags: Any
) -> dict[str, RouteRequest]:
    """The routes by their names, in order."""
    document = app.openapi() if isinstance(app, FastAPI) else app
    return {
        request.route: request
        for request in select_routes(
            document, census, parse_route_selection(DoctorOptions(**flags))
        )[0]
    }


def answer(app: Any, asked: RouteRequest) -> Any:
    """What an app answers when it is asked exactly that."""
    headers = asked.headers | ({"content-type": asked.content_type} if asked.content_type else {})
    with served(app) as client:
        response = client.request(
            asked.route.partition(" ")[0],
            asked.path_with_keys or asked.path,
            headers=headers,
            content=asked.body,
        )
    assert response.status_code == 200, response.text
    return response


def test_get_routes_are_filled_so_that_a_real_app_takes_them() -> None:
    """In the app's order, HEAD beside GET, nothing that may change data; each is answered 200."""
    asked = asked_of(shop())
    assert list(asked) == [
        "GET /items/{item_id}",
        "HEAD /alive",
        "GET /all/{when}/{key}/{rest}",
        "GET /page",
        "GET /logo",
    ]
    assert asked["GET /items/{item_id}"].path == "/items/1?size=10"
    assert [request.skipped for request in asked.values()] == [None] * 5
    for request in asked.values():
        answer(shop(), request)
        assert re.fullmatch(r"/[!-~]*", request.path)


def test_optional_parameters_are_asked_only_with_an_example_and_values_arrive_unharmed() -> None:
    """Slashes, ampersands and letters outside ASCII survive the way into the app."""
    values = answer(shop(), asked_of(shop())["GET /all/{when}/{key}/{rest}"]).json()
    wanted = {
        "city": "São Paulo/Sé",
        "word": "a&b=c",
        "limit": 7,
        "tags": ["string"],
        "unused": 0,
        "rest": "string",
    }
    assert wanted == {key: values[key] for key in wanted}


def test_a_parameter_is_filled_as_another_route_tells_of_it() -> None:
    """FastAPI's document has the dependency's view of a path parameter, which is only its type."""
    app = FastAPI()
    isbn_type = Annotated[str, InPath(pattern=r"^978\d{10}$", examples=["9780000000123"])]

    def loans(isbn: str) -> int:
        return len(isbn)

    @app.get("/books/{isbn}")
    async def book(isbn: isbn_type) -> None: ...

    @app.get("/books/{isbn}/loans", dependencies=[Depends(loans)])
    async def lent(isbn: isbn_type) -> None: ...

    assert [
        request.path for request in select_routes(app.openapi(), None, RouteSelection())[0]
    ] == [
        "/books/9780000000123",
        "/books/9780000000123/loans",
    ]


def things() -> FastAPI:  # noqa: C901 - routes, one after another
    """Parameters of one name that differ from route to route."""
    app = FastAPI()
    key = Annotated[UUID, InPath(examples=["00000000-0000-4000-8000-00000000000a"])]

    def known(name: str) -> int:
        if name != "lamp":
            raise HTTPException(404)
        return 1

    @app.get("/users/{id}")
    def user(id: int) -> int:  # noqa: A002 - as people write it
        return id

    @app.get("/orders/{id}")
    def order(id: key) -> UUID:  # noqa: A002
        return id

    @app.get("/orders/{id}/lines/{n}")
    def line(id: UUID, n: int) -> UUID:  # noqa: A002
        return id if n else UUID(int=0)

    @app.get("/shops/{name}")
    def shop(name: Annotated[str, InPath(examples=["none", "lamp"])]) -> int:
        return known(name)

    @app.get("/shops/{name}/owner")
    def owner(name: str) -> int:
        return known(name)

    @app.get("/streets/{name}")
    def street(name: Annotated[str, InPath(pattern="^[A-Z]$")]) -> str:
        return name

    @app.get("/rooms/{name}")
    def room(name: Annotated[Literal["hall"], InPath()]) -> str:
        return name

    @app.get("/lost/{name}")
    def lost(name: str) -> int:
        return known(f"no {name}")

    return app


def test_a_parameter_is_filled_by_routes_whose_type_agrees_only() -> None:
    """Examples first, own before others'; no UUID for a number, nor what its own schema forbids."""
    asked = asked_of(things())
    ten = "00000000-0000-4000-8000-00000000000a"
    tried = {
        name: [request.path, *(other.path for other in request.alternatives)]
        for name, request in asked.items()
    }
    assert tried["GET /users/{id}"] == ["/users/1"]
    assert tried["GET /orders/{id}"] == [f"/orders/{ten}", f"/orders/{FORMAT_EXAMPLES['uuid']}"]
    assert tried["GET /orders/{id}/lines/{n}"] == [
        f"/orders/{ten}/lines/1",
        f"/orders/{FORMAT_EXAMPLES['uuid']}/lines/1",
    ]
    assert tried["GET /shops/{name}"] == ["/shops/none", "/shops/lamp", "/shops/string", "/shops/A"]
    assert tried["GET /shops/{name}/owner"] == [
        f"/shops/{value}/owner" for value in ("none", "lamp", "string", "A")
    ]
    assert tried["GET /rooms/{name}"] == ["/rooms/hall"]
    assert len(tried["GET /lost/{name}"]) == 1 + MAX_ALTERNATIVES
    assert asked_of(things(), param=["name=x"])["GET /shops/{name}"].alternatives == ()


def test_a_value_that_is_refused_gives_way_to_the_next() -> None:
    """After a 404 or a 422; what was tried is said, and where all were in vain as well."""
    app = things()
    with served(app) as client:
        results = {
            request.route: find_accepted_request(client, request, {})
            for request in asked_of(app).values()
        }
    assert {
        name: taken.path for name, (taken, manner) in results.items() if not manner.skipped
    } == {
        "GET /users/{id}": "/users/1",
        "GET /orders/{id}": "/orders/00000000-0000-4000-8000-00000000000a",
        "GET /orders/{id}/lines/{n}": "/orders/00000000-0000-4000-8000-00000000000a/lines/1",
        "GET /shops/{name}": "/shops/lamp",
        "GET /shops/{name}/owner": "/shops/lamp/owner",
        "GET /streets/{name}": "/streets/A",
        "GET /rooms/{name}": "/rooms/hall",
    }
    notes = {name: manner.note for name, (_, manner) in results.items() if manner.note}
    assert notes == {
        "GET /shops/{name}": "Its request is /shops/lamp: /shops/none answers 404.",
        "GET /shops/{name}/owner": (
            "Its request is /shops/lamp/owner: /shops/none/owner answers 404."
        ),
    }
    taken, manner = results["GET /lost/{name}"]
    others = ", ".join(other.path for other in taken.alternatives)
    assert (
        manner.skipped
        == f"answers 404 to a single request, and also refuses {others}; add --param name=..."
    )


def test_named_routes_are_asked_with_bodies_before_the_others() -> None:
    """Nested models, unions, tuples, mappings, finite recursion, and several bodies in one."""
    asked = asked_of(shop(), route=["POST /orders", "put /pairs", "GET /pa*"])
    named, usual = ["POST /orders", "PUT /pairs", "GET /page"], list(asked_of(shop()))
    assert list(asked) == [*named, *(name for name in usual if name not in named)]
    order = answer(shop(), asked["POST /orders"]).json()
    assert order["lines"][0] == {"sku": "stringgg", "count": 3, "parents": []}
    assert tuple(order[key] for key in ("colour", "kind", "share", "pair", "notes", "code")) == (
        "red",
        "gift",
        0.5,
        [1, "string"],
        {"key0": 1},
        "B7",
    )
    assert answer(shop(), asked["PUT /pairs"]).json()["note"] == "hi"
    tree = asked_of(shop(), route=["POST /trees"])["POST /trees"]
    assert answer(shop(), tree).json() == {"children": [], "twin": 1}


def test_the_media_type_is_promised_only_where_someone_promised_it() -> None:
    """FastAPI writes JSON for every route that says nothing, even for a file: no promise."""
    asked = asked_of(shop())
    assert asked["GET /items/{item_id}"].declared_type == "application/json"
    assert asked["GET /page"].declared_type == "text/html"
    assert asked["GET /logo"].declared_type is None


def test_a_parameter_is_given_to_all_of_that_name() -> None:
    """In path, query, header and cookie, percent-encoded; a header that a person sends is kept."""
    locations = {"a b": ("path", "query", "cookie"), "x-key": ("header",), "x-free": ("header",)}
    parameters = [
        {"name": name, "in": where, "required": name != "x-free", "schema": {"type": "string"}}
        for name, places in locations.items()
        for where in places
    ]
    document = {"paths": {"/x/{a b}": {"parameters": parameters, "get": {}}}}
    request = asked_of(document, param=["a b=1/ü?", "x-free=y"])["GET /x/{a b}"]
    assert request.path == "/x/1%2F%C3%BC%3F?a%20b=1%2F%C3%BC%3F"
    assert request.headers == {"x-key": "string", "x-free": "y", "Cookie": "a b=1/%C3%BC%3F"}
    ours = asked_of(document, header=["X-KEY: secret", "cookie: secret"])["GET /x/{a b}"]
    assert ours.headers == {}


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ({"only": ["/items/*"]}, ["GET /items/{item_id}"]),
        ({"only": ["GET /p*", "/logo"]}, ["GET /page", "GET /logo"]),
        ({"exclude": ["/items*", "* /all/*", "HEAD *"]}, ["GET /page", "GET /logo"]),
        (
            {"route": ["/items/7?size=20"], "only": ["/logo"]},
            ["GET /items/7?size=20", "GET /logo"],
        ),
        (
            {"route": ["GET /items/*", "GET /page", "GET /items/*"], "only": ["/nothing"]},
            ["GET /items/{item_id}", "GET /page"],
        ),
        ({"route": ["POST /orders"], "only": ["POST /orders"]}, ["POST /orders"]),
        (
            {"route": ["POST /orders", "/logo"], "exclude": ["*o*s*", "/*{*", "HEAD *"]},
            ["GET /logo", "GET /page"],
        ),
    ],
)
def test_routes_are_chosen_by_name_glob_and_request(
    flags: dict[str, list[str]], names: list[str]
) -> None:
    """A request that a declared route answers is asked as it stands."""
    asked = asked_of(shop(), **flags)
    assert names == list(asked)
    assert (
        asked.get("GET /items/7?size=20", RouteRequest(route="", path="/items/7?size=20")).path
        == "/items/7?size=20"
    )


@pytest.mark.parametrize(
    ("flags", "reasons"),
    [
        ({}, ["its GET has", *["its method may"] * 3]),
        ({"route": ["POST /orders", "HEAD /items/{item_id}"]}, ["its method may"] * 2),
        ({"route": ["POST /orders?full=1"]}, ["its GET has", *["its method may"] * 2]),
        (
            {"only": ["/orders", "/page"], "route": ["GET /logo"]},
            [*["--only does not"] * 4, "its method may", *["--only does not"] * 2],
        ),
        (
            {"exclude": ["/orders", "/logo"], "route": ["POST /orders", "PUT /pairs"]},
            ["--exclude matches it, although", "its GET has", "its method may", "--exclude"],
        ),
    ],
)
def test_each_route_is_examined_or_left_out_for_a_reason(
    flags: dict[str, Any], reasons: list[str]
) -> None:
    """The reason of a flag comes before that of the default."""
    selection = parse_route_selection(DoctorOptions(**flags))
    _, left_out = select_routes(shop().openapi(), None, selection)
    whys = list(left_out.values())
    assert len(reasons) == len(whys), left_out
    assert all(map(str.startswith, whys, reasons)), left_out
    declared = {
        f"{method.upper()} {path}"
        for path, item in shop().openapi()["paths"].items()
        for method in item
    }
    asked = [name.partition("?")[0] for name in asked_of(shop(), **flags)]
    assert sorted([*asked, *left_out]) == sorted(declared)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            {"route": ["GET /itmes/{item_id}"]},
            "the app has no 'GET /itmes/{item_id}'. Similar: GET /items/{item_id}",
        ),
        ({"route": ["POST /*"]}, "A * stands for routes that change nothing. Similar: POST"),
        ({"route": ["GET /a b"]}, "invalid route 'GET /A /b'|invalid route 'GET /a b'|is none of"),
        (
            {"param": ["itm_id=1"]},
            "invalid --param: no route has a parameter 'itm_id'. Similar: item_id",
        ),
        (
            {"param": ["item_id"]},
            "invalid --param 'item_id': expected NAME=VALUE. Example: item_id=1",
        ),
        (
            {"only": ["/nothing"]},
            (
                "No route is left to examine, of 9 declared. "
                "3 may change data and must be named: --route 'POST /orders'."
            ),
        ),
        (
            {"body": ["POST /orders={}"]},
            "invalid --body: POST /orders is not examined. Add --route 'POST /orders'.",
        ),
        ({"body": ["{}"]}, "invalid --body '{}': expected ROUTE=BODY"),
        (
            {"body": ["POST /orders=@/nowhere"]},
            "invalid --body for POST /orders: cannot read /nowhere: No such file",
        ),
        (
            {"route": ["POST /orders"], "body": ["POST /orders={"]},
            "invalid --body for POST /orders: not JSON",
        ),
        (
            {"header": ["X-A: 1", "Bearer s3cret"]},
            "invalid --header #2 (not shown: it may be secret). Expected 'Name: value'",
        ),
        ({"header": ["X-A: s3cret\r\nX-B: 1"]}, "invalid --header #1"),
        ({"header": ["X-A: s3cret\x07"]}, "invalid --header #1"),
    ],
)
def test_a_flag_that_cannot_be_followed_is_a_sentence(
    flags: dict[str, list[str]], sentence: str
) -> None:
    """It says what to write instead, exits with 2, and shows nothing secret."""
    with pytest.raises(AtonceError) as trouble:
        asked_of(shop(), **flags)
    assert any(part in trouble.value.sentence for part in sentence.split("|")), (
        trouble.value.sentence
    )
    assert trouble.value.code == ExitCode.USAGE
    assert "s3cret" not in trouble.value.sentence


def test_a_body_comes_from_a_flag_or_a_file_and_goes_out_as_it_is(tmp_path: Path) -> None:
    """Neither it nor a header shows in what the choice says of itself."""
    (tmp_path / "query.json").write_text('{"q": "secret"}')
    flags = DoctorOptions(
        route=["POST /orders", "PUT /pairs"],
        header=["X-Key:  secret"],
        body=[f"POST /orders=@{tmp_path / 'query.json'}", 'put /pairs={"a": "b=c"}'],
    )
    choice = parse_route_selection(flags)
    orders, pairs, *_ = select_routes(shop().openapi(), None, choice)[0]
    assert (orders.body, orders.content_type) == (b'{"q": "secret"}', "application/json")
    assert pairs.body == b'{"a": "b=c"}'
    assert choice.headers == {"X-Key": "secret"}
    assert "secret" not in f"{flags}{choice}{orders}"


def guarded() -> FastAPI:
    """Routes behind keys of every kind."""
    app = FastAPI()
    schemes = {
        "/query": APIKeyQuery(name="api_key"),
        "/header": APIKeyHeader(name="X-API-Key"),
        "/cookie": APIKeyCookie(name="session"),
        "/basic": HTTPBasic(),
        "/bearer": HTTPBearer(),
        "/oauth": OAuth2PasswordBearer("token"),
    }
    for path, scheme in schemes.items():

        def read(key: Annotated[Any, Security(scheme)], q: str = "") -> str:
            return f"{key}{q}"

        app.get(path)(read)
    return app


def test_a_key_is_a_parameter_whose_value_is_shown_nowhere() -> None:
    """In the query, in a header, in a cookie; also of a request as it stands."""
    given = ["api_key=s3cret/&", "X-API-Key=s3cret", "session=s3cret", "q=1"]
    asked = asked_of(guarded(), param=given)
    assert asked["GET /query"].path == "/query?q=1&api_key=***"
    assert answer(guarded(), asked["GET /query"]).json() == "s3cret/&1"
    for name in ("GET /header", "GET /cookie"):
        assert answer(guarded(), asked[name]).json() == "s3cret1"
    stands = asked_of(guarded(), param=given[:1], route=["/query?q=2"])["GET /query?q=2"]
    assert (stands.path, answer(guarded(), stands).json()) == (
        "/query?q=2&api_key=***",
        "s3cret/&2",
    )
    assert "s3cret" not in f"{asked}{stands}{[route_record(request) for request in asked.values()]}"
    assert asked["GET /basic"].path_with_keys == ""


def test_what_opens_a_route_is_named_as_it_is_declared() -> None:
    """A flag for each scheme, none where none is declared; a malformed scheme does no harm."""
    assert {name: request.credential_flags for name, request in asked_of(guarded()).items()} == {
        "GET /query": ("--param api_key=...",),
        "GET /header": ("--header 'X-API-Key: ...'",),
        "GET /cookie": ("--param session=...",),
        "GET /basic": ("--header 'Authorization: Basic ...'",),
        "GET /bearer": ("--header 'Authorization: Bearer ...'",),
        "GET /oauth": ("--header 'Authorization: Bearer ...' (OAuth2)",),
    }
    malformed: tuple[Any, ...] = (None, 1, [1], [{"nowhere": []}], {"a": 1})
    for security in malformed:
        assert asked_of(document_of({"security": security}))["GET /x"].credential_flags == ()


def document_of(operation: dict[str, Any], method: str = "get", path: str = "/x") -> dict[str, Any]:
    """A document with one route."""
    return {
        "paths": {path: {method: operation}},
        "components": {"schemas": {"Self": {"$ref": "#/components/schemas/Self"}}},
    }


def takes(media: str, schema: Any = None, **more: Any) -> dict[str, Any]:
    """An operation that needs a body."""
    return {"requestBody": {"required": True, "content": {media: {"schema": schema, **more}}}}


def needs(schema: Any, where: str = "query") -> dict[str, Any]:
    """An operation that needs one parameter."""
    return {"parameters": [{"name": "code", "in": where, "required": True, "schema": schema}]}


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (
            needs({"type": "string", "pattern": "^[A-Z]{3}$"}),
            "code must match the pattern '^[A-Z]{3}$': --param code=...",
        ),
        (
            needs({"type": "string", "format": "uuid", "maxLength": 3}),
            "code has a length that does not go with its format",
        ),
        (
            needs({"type": "integer", "minimum": 5, "maximum": 4}),
            "code has bounds that leave no plain number",
        ),
        (
            needs({"$ref": "#/components/schemas/None"}),
            "code refers to #/components/schemas/None, which the document lacks",
        ),
        (
            needs({"type": "array", "minItems": 2, "uniqueItems": True}),
            "code needs 2 different items",
        ),
        (needs({"type": "string", "minLength": 10**9}), "code must be 1000000000 characters long"),
        (
            needs({"type": "string", "default": ""}, "path"),
            "code is empty, but a path needs a value: --param code=...",
        ),
        (needs({"type": "strange"}), "atonce cannot read its entry in the OpenAPI document"),
        (needs({"type": "string", "pattern": "\x1b["}), "code must match the pattern"),
        (
            {
                "parameters": [
                    {
                        "name": "\x1b[",
                        "in": "query",
                        "required": True,
                        "schema": {"pattern": "^x{9}$"},
                    }
                ]
            },
            "?[ must match",
        ),
        (
            takes("multipart/form-data"),
            "takes a multipart form, with files, which atonce cannot make",
        ),
        (takes("application/xml"), "takes a body of application/xml, which atonce cannot make"),
        (
            takes(
                "application/json",
                {
                    "properties": {"a": {"items": {"pattern": "^x{9}$"}, "minItems": 1}},
                    "required": ["a"],
                },
            ),
            "body.a[0] must match the pattern '^x{9}$': --body 'GET /x/{code}=@FILE'",
        ),
        (
            {"responses": {"200": {"content": {"text/event-stream": {}}}}},
            "a stream (text/event-stream)",
        ),
        (
            {"responses": {"2XX": {"content": {"application/jsonl": {"itemSchema": {}}}}}},
            "a stream (application/jsonl)",
        ),
    ],
)
def test_what_cannot_be_asked_is_skipped_with_its_reason(
    operation: dict[str, Any], why: str
) -> None:
    """The clause names the value and the flag that helps; it can be printed, as can the path."""
    request = asked_of(document_of(operation, path="/x/{code}"))["GET /x/{code}"]
    assert (request.skipped or "").startswith(why)
    assert f"{request.skipped}{request.path}".isprintable()


def test_a_request_as_it_stands_needs_no_filling() -> None:
    """What cannot be made may be named."""
    document = document_of(needs({"pattern": "^x{9}$"}, "path"), path="/x/{code}")
    assert asked_of(document, route=["GET /x/a"])["GET /x/a"].skipped is None


def test_bodies_are_json_or_forms_and_an_optional_one_may_be_left_out() -> None:
    """An example of the media type goes before its schema."""
    form = {
        "type": "object",
        "properties": {"a": {"const": "x y"}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
    }
    urlencoded = "application/x-www-form-urlencoded"
    named = {"route": ["POST /x"]}
    request = asked_of(document_of(takes(urlencoded, form), "post"), **named)["POST /x"]
    assert (b"a=x+y&b=true", urlencoded) == (request.body, request.content_type)
    request = asked_of(
        document_of(
            takes("application/vnd.api+json", form, examples={"e": {"value": [1]}}), "post"
        ),
        **named,
    )["POST /x"]
    assert (request.body, request.content_type) == (b"[1]", "application/vnd.api+json")
    optional = document_of(takes("application/json", {"pattern": "^x{9}$"}), "post")
    optional["paths"]["/x"]["post"]["requestBody"]["required"] = False
    request = asked_of(optional, **named)["POST /x"]
    assert (request.body, request.skipped) == (None, None)


def route_entry(path: str, kind: str = "http", **more: Any) -> dict[str, Any]:
    """A route of the app info."""
    plain = {
        "method": "GET",
        "path": path,
        "kind": kind,
        "hidden": False,
        "is_async": True,
        "endpoint": "shop.x",
        "file": "/x.py",
        "line": 7,
    }
    return plain | more


def test_the_app_info_gives_the_order_and_what_the_document_lacks() -> None:
    """The app info's own order; convertors are filled in.

    WebSockets and mounts are skipped; a person's own /docs is not.
    """
    lines = [
        route_entry("/b/{file:path}"),
        route_entry("/users/{user_id}/{name}/{n:int}/{x:float}/{u:uuid}"),
        route_entry("/live", "websocket"),
        route_entry("/static", "mount"),
        route_entry("/sub", "mount"),
        route_entry("/sub/a"),
        route_entry("/docs", endpoint="shop.docs"),
        route_entry("/redoc", endpoint="shop.redoc"),
        route_entry("/secret", hidden=True),
        route_entry("/a", method="POST"),
    ]
    document: dict[str, Any] = {
        "paths": {
            "/sub/a": {"get": {}},
            "/docs": {"get": {}},
            "/redoc": {"get": {}},
            "/b/{file}": {"get": {}},
            "/late": {"get": {}},
        }
    }
    asked = asked_of(document, lines)
    assert {name: request.skipped for name, request in asked.items()} == {
        "GET /b/{file}": None,
        "GET /users/{user_id}/{name}/{n}/{x}/{u}": None,
        "WEBSOCKET /live": "a WebSocket",
        "MOUNT /static": (
            "mounted files, or an app without a list of routes: --route 'GET /static/...' names one"
        ),
        "GET /sub/a": None,
        "GET /docs": None,
        "GET /redoc": None,
        "GET /secret": (
            "hidden from the OpenAPI document, so its parameters are unknown: "
            "--route 'GET /secret' requests it without any"
        ),
        "GET /late": None,
    }
    assert (
        f"/users/1/string/1/1.0/{FORMAT_EXAMPLES['uuid']}"
        == asked["GET /users/{user_id}/{name}/{n}/{x}/{u}"].path
    )
    assert (
        asked["GET /b/{file}"].is_async,
        asked["GET /b/{file}"].file,
        asked["GET /b/{file}"].line,
    ) == (True, "/x.py", 7)
    assert select_routes(document, lines, RouteSelection())[1] == {
        "MOUNT /sub": "its routes are listed",
        "POST /a": UNSAFE,
    }
    names = ["GET /secret", "GET /static/logo.svg", "GET /b/a/b.txt"]
    named = asked_of(document, lines, route=names, only=["/nothing"])
    assert dict.fromkeys(names) == {name: request.skipped for name, request in named.items()}
    with pytest.raises(AtonceError, match="the app has no 'GET /sub/b'"):
        asked_of(document, lines, route=["GET /sub/b"])


def test_without_a_document_routes_are_asked_as_they_stand() -> None:
    """Only named routes; without a name, a sentence asks for one."""
    (request,) = select_routes(
        None, None, parse_route_selection(DoctorOptions(route=["/x/%20?q=1"]))
    )[0]
    assert (request.route, request.path, request.skipped) == ("GET /x/%20?q=1", "/x/%20?q=1", None)
    with pytest.raises(
        AtonceError,
        match=r"No routes: no OpenAPI document at /openapi.json .*\. Name a request: --route",
    ):
        select_routes(None, None, RouteSelection())[0]
    with pytest.raises(AtonceError, match="The app declares no routes"):
        select_routes({"paths": {}}, [], RouteSelection())[0]
    with pytest.raises(AtonceError, match=r"replace what is in braces|the app has no"):
        select_routes(None, None, parse_route_selection(DoctorOptions(route=["GET /x/{y}"])))[0]


def test_an_interruption_is_heard_between_two_routes() -> None:
    """Hundreds of them, with deep bodies, take seconds to fill in."""
    looks = iter(range(3))

    def check() -> None:
        if next(looks, None) is None:
            raise AtonceError("interrupted", ExitCode.INTERRUPTED)

    with pytest.raises(AtonceError, match="interrupted"):
        select_routes(shop().openapi(), None, RouteSelection(), check)[0]


@pytest.mark.parametrize(("budget", "few"), [("60s", 5), ("25s", 1)])
def test_what_fits_the_budget_is_said_before(
    monkeypatch: pytest.MonkeyPatch, budget: str, few: int
) -> None:
    """Of 500 routes: how many, which first, from where on none, and what would take them all."""
    asked = [
        RouteRequest(
            route=f"GET /r{number}", path=f"/r{number}", skipped="a stream" if number == 1 else None
        )
        for number in range(500)
    ]
    monkeypatch.setattr(commands, "discover_in_temp_folder", lambda *_: (asked, []))
    gates = ["p99(GET /r400) < 1s", "verdict != loop-blocked"]
    flags = DoctorOptions(target="shop:app", gate=gates, budget=budget, requests=1000)
    order = commands.parse_options(flags)
    turn = loadable_requests(order, asked)
    assert [request.route for request in turn[:3]] == ["GET /r400", "GET /r0", "GET /r2"]
    lines = list(commands.outline_doctor_run(order))
    late = [
        before.split()[1]
        for before, line in pairwise(lines)
        if line.strip() == "only if there is time"
    ]
    assert set(late) == {request.path for request in turn[few:]}
    sentence = (
        f"About {few} of 499 routes fit the budget of {budget[:-1]} s, at 10 s each. "
        "Routes that gates or --route name come first, then the app's order. "
        f"{turn[few].route} and later routes run only if there is time. To change this: "
        "--budget, --only, --exclude."
    )
    assert sentence in lines
    plenty = commands.parse_options(replace(flags, gate=None, budget="1h"))
    assert find_over_budget(plenty, loadable_requests(plenty, asked[:200]), 10.0) == ([], "")


@pytest.mark.parametrize(
    "document",
    [{"paths": []}, {"paths": {"/x": 1}}, {"paths": {"/x": {"get": 1}}}, [], {}, "<html>"],
)
def test_what_is_no_document_is_a_sentence(document: Any) -> None:
    """Not a traceback."""
    with pytest.raises(AtonceError, match=r"No route is left|(n|N)o routes"):
        select_routes(document, None, RouteSelection())[0]


@pytest.mark.parametrize(
    "broken",
    [
        {"parameters": 1},
        {"parameters": [1, {"name": 1}, {"$ref": 5}]},
        {"responses": []},
        {"requestBody": []},
    ],
)
def test_a_malformed_entry_harms_its_own_route_at_most(broken: dict[str, Any]) -> None:
    """The others are asked."""
    document = {"paths": {"/x": {"get": broken}, "/y": {"get": {}}, "/\x1b[2J": {"get": {}}}}
    assert list(asked_of(document)) == ["GET /x", "GET /y"]
