"""Who may use the API, how much of it, and what its answers give away."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette

from api import keys
from api.access import PUBLIC, requires
from internal.access import ApiKey, Scope, find_key, new_key, parse_scopes
from internal.config import Settings

TOKENS: dict[str, str] = {}


def make_keys() -> Iterator[ApiKey]:
    """Make keys; the client `shop` has two, as while one is replaced."""
    for name, scopes in {
        "shop": "enqueue,read",
        "shop (new)": "enqueue,read",
        "billing": "enqueue,read",
        "sender": "enqueue",
        "operator": "operate",
    }.items():
        TOKENS[name], key = new_key(name.split()[0], parse_scopes(scopes))
        yield key


KEYS = tuple(make_keys())


def production(**changes: Any) -> FastAPI:
    """Return the API as it is in production."""
    # Not before the tests have an environment of their own.
    from api.main import create_app

    values = {"environment": "production", "smtp_url": "outbox:", "rate_limit": "none"}
    return create_app(Settings(**{**values, "api_keys": KEYS, **changes}))


@pytest.fixture(scope="module")
def app(environment: None) -> FastAPI:
    return production()


def having(token: str | None, app: FastAPI) -> TestClient:
    """Return a client with the token of that name."""
    headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else None
    return TestClient(app, headers=headers)


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_that_is_not_named_public_asks_for_a_token(app: FastAPI) -> None:
    assert {"/livez", "/readyz"} == PUBLIC
    for method, path, operation in operations(app):
        assert (operation.get("security") == []) == (path in PUBLIC), path
        if path not in PUBLIC:
            answer = having(None, app).request(method, re.sub(r"\{.*?\}", "x", path))
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert having(None, app).get("/livez").status_code == 200


def test_routes_of_every_kind_ask_for_a_token() -> None:
    app = production()
    app.get("/own")(lambda: "for clients")
    app.mount("/mounted", Starlette())
    for path in ("/own", "/mounted/", "/docs", "/openapi.json", "/livez/", "//livez", "/nowhere"):
        assert having(None, app).get(path).status_code == 401, path
    assert having("sender", app).get("/own").json() == "for clients"
    assert having("sender", app).get("/docs").status_code == 404


@pytest.mark.parametrize("token", ["wrong", "", "a.b.c", "\xe4", "x" * 100_000])
def test_a_wrong_token_is_refused(app: FastAPI, token: str) -> None:
    headers = {b"Authorization": b"Bearer " + token.encode("latin-1")}
    answer = TestClient(app).get("/jobs/x", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/jobs", {"operator"}),
        ("GET", "/jobs/x", {"shop", "operator"}),
        ("POST", "/jobs/x/cancel", {"operator"}),
        ("POST", "/jobs/x/retry", {"operator"}),
        ("POST", "/jobs/test-add", {"shop", "sender"}),
        ("POST", "/jobs/test-add/batch", {"shop", "sender"}),
    ],
)
def test_a_key_may_do_what_its_scopes_say(
    client: TestClient, app: FastAPI, method: str, path: str, allowed: set[str]
) -> None:
    for token in ("shop", "sender", "operator"):
        answer = having(token, app).request(method, path, json=None if method == "GET" else {})
        assert (answer.status_code != 403) == (token in allowed), (token, answer.text)


def test_a_route_can_ask_for_a_scope() -> None:
    app = production()
    app.get("/own", dependencies=[requires(Scope.OPERATE)])(lambda: "for operators")
    assert having("shop", app).get("/own").status_code == 403
    assert having("operator", app).get("/own").status_code == 200


def test_a_job_belongs_to_the_client_that_enqueued_it(client: TestClient, app: FastAPI) -> None:
    job_id = having("shop", app).post("/jobs/test-add").json()["id"]

    def status_for(token: str) -> int:
        return having(token, app).get(f"/jobs/{job_id}").status_code

    assert [status_for(token) for token in ("shop", "shop (new)", "operator")] == [200, 200, 200]
    assert status_for("billing") == 404
    unknown = having("billing", app).get("/jobs/test-add-unknown")
    assert unknown.json() == having("billing", app).get(f"/jobs/{job_id}").json()
    assert having("operator", app).get(f"/jobs/{job_id}").json()["enqueued_by"] == "shop"


def test_the_idempotency_keys_of_two_clients_never_meet(client: TestClient, app: FastAPI) -> None:
    headers = {"Idempotency-Key": uuid4().hex}

    def enqueue_as(token: str, numbers: list[int]) -> Any:
        answer = having(token, app).post(
            "/jobs/test-add", json={"numbers": numbers}, headers=headers
        )
        return answer.json().get("id", answer.status_code)

    first = enqueue_as("shop", [1])
    assert enqueue_as("shop (new)", [1]) == first
    assert enqueue_as("shop", [2]) == 422
    assert enqueue_as("billing", [2]) not in (first, 422)


def test_a_job_of_nobody_is_the_operators(client: TestClient, app: FastAPI) -> None:
    accepted = client.post("/jobs/test-add").json()
    assert having("shop", app).get(accepted["url"]).status_code == 404
    assert having("operator", app).get(accepted["url"]).status_code == 200


def test_production_without_a_key_says_how_to_make_one() -> None:
    with pytest.raises(SystemExit, match=r"python -m api\.keys new NAME"):
        production(api_keys=())


def test_a_new_key_is_known_by_its_token(capsys: pytest.CaptureFixture[str]) -> None:
    keys.main(["new", "shop", "--scopes", "enqueue,operate"])
    printed = dict(re.findall(r"^([A-Z_]+)=(.*)$", capsys.readouterr().out, re.MULTILINE))

    known = Settings.model_validate({"api_keys": f"{printed['API_KEYS']} {KEYS[0]}"}).api_keys
    found = find_key(printed["TOKEN"], known)
    assert found
    assert (found.name, sorted(found.scopes)) == ("shop", ["enqueue", "operate"])
    assert printed["TOKEN"] not in str(found)
    assert find_key("another token", known) is None


def test_a_body_that_is_too_large_is_refused(app: FastAPI) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 100_000

    for content in (b" " * 1_000_001, parts()):
        answer = having("shop", app).post(
            "/jobs/test-add", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 413


async def test_too_many_requests_are_told_when_to_come_back() -> None:
    transport = ASGITransport(production(rate_limit="3/day"))
    async with AsyncClient(transport=transport, base_url="http://testserver") as client:

        async def ask(token: str | None, path: str = "/nowhere") -> Response:
            headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
            return await client.get(path, headers=headers)

        assert [(await ask("shop")).status_code for _ in range(4)] == [404, 404, 404, 429]
        refused = await ask("shop (new)")
        assert refused.status_code == 429
        assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400
        # Others have limits of their own.
        assert (await ask("billing")).status_code == 404
        assert [(await ask(None)).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert (await ask(None, "/livez")).status_code == 200


async def test_requests_in_the_same_moment_are_counted_one_by_one() -> None:
    transport = ASGITransport(production(rate_limit="3/day"))
    headers = {"Authorization": f"Bearer {TOKENS['sender']}"}
    async with AsyncClient(transport=transport, base_url="http://testserver") as client:
        answers = await asyncio.gather(*(client.get("/", headers=headers) for _ in range(9)))
    assert sorted(answer.status_code for answer in answers) == [404] * 3 + [429] * 6


@pytest.mark.parametrize(
    "body",
    [
        b'{"to": "MARK", "subject": "MARK\\u000b", "MARK\\u2028": 1}',
        b'{"to": "\\ud800@MARK.com", "subject": "\\udfff"}',
        b'{"to": NaN, "subject": Infinity, "body": -Infinity, "MARK": 1e999}',
        b'{"to": "a@MARK", "subject": "x" "MARK"}',
        b'["MARK"]',
        b'"\xed\xa0\x80MARK"',
        b"[" * 100_000,
        b'{"to": ' + b"9" * 10_000 + b"}",
        b"\xff\xfeMARK",
    ],
)
def test_a_bad_request_is_not_repeated(client: TestClient, body: bytes) -> None:
    answer = client.post(
        "/jobs/test-add", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert "MARK" not in answer.text
    assert len(answer.text) < 5_000


def test_only_the_first_problems_of_a_batch_are_named(client: TestClient) -> None:
    answer = client.post("/jobs/test-add/batch", json=[{"numbers": 1}] * 1_000)
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) == 20


@pytest.mark.parametrize("value", ["NaN", "1e999", r'"\ud800"'])
def test_what_json_cannot_say_is_refused_in_a_job_of_any_fields(
    client: TestClient, value: str
) -> None:
    body = f'{{"data": {{"x": [{value}]}}}}'
    answer = client.post(
        "/jobs/test-keep", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert "JSON has no such values" in answer.text


def test_a_body_of_another_type_is_refused(client: TestClient) -> None:
    answer = client.post("/jobs/test-keep", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.text


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "NaN"])
def test_a_time_that_cannot_be_is_refused_or_past(client: TestClient, at: str) -> None:
    assert client.post("/jobs/test-add", params={"at": at}).status_code in (202, 422)


def test_another_host_is_refused_and_none_is_repeated(app: FastAPI) -> None:
    asked = having("operator", production(allowed_hosts="api.example.com"))
    assert asked.get("/nowhere", headers={"Host": "api.example.com"}).status_code == 404
    assert asked.get("/nowhere", headers={"Host": "other.example.com"}).status_code == 400
    assert asked.get("/livez", headers={"Host": "10.0.0.1"}).status_code == 200
    answer = having("operator", app).get("/jobs/", headers={"Host": "MARK"})
    assert answer.status_code in (404, 405)
    assert "MARK" not in f"{answer.text} {answer.headers}"


def test_answers_have_the_headers_that_keep_browsers_safe(app: FastAPI) -> None:
    for answer in (having(None, app).get("/jobs"), having(None, app).get("/livez")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "Strict-Transport-Security" not in answer.headers
    over_tls = TestClient(app, base_url="https://api.example.com").get("/livez")
    assert "Strict-Transport-Security" in over_tls.headers
