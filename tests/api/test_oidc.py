"""Tokens of an OpenID Connect provider, whose keys the API reads from a real server."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.api.conftest import Serve

pytestmark = pytest.mark.slow

AUDIENCE = "sample-project"


class Provider:
    """A provider with one key, which counts how often it is asked for it."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content: dict[str, Any]
                if self.path == "/keys":
                    provider.asked += 1
                    public = json.loads(RSAAlgorithm.to_jwk(provider.key.public_key()))
                    content = {"keys": [{**public, "kid": "known", "use": "sig"}]}
                else:
                    content = {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys"}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def token(self, kid: str = "known", **claims: Any) -> str:
        """Return a valid token, but for what is given."""
        valid = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": time.time() + 60,
            "scope": "openid enqueue read",
        }
        named = {name: value for name, value in {**valid, **claims}.items() if value is not None}
        return jwt.encode(named, self.key, "RS256", {"kid": kid})


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    threading.Thread(target=provider.server.serve_forever, daemon=True).start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


def test_tokens_are_taken_by_their_signature_their_claims_and_their_scopes(
    serve: Serve, provider: Provider
) -> None:
    settings = {"OIDC_ISSUER": provider.issuer, "OIDC_AUDIENCE": AUDIENCE, "API_KEYS": ""}
    with serve({"task_runner": "none"}, **settings) as api, asking(api.url) as ask:
        accepted = ask("POST", "/jobs/cleanup", provider.token())
        assert accepted.status_code == 202
        url = accepted.json()["url"]
        assert ask("GET", url, provider.token()).status_code == 200
        assert ask("GET", url, provider.token(sub="somebody else")).status_code == 404
        assert ask("GET", url, provider.token(sub="x", scope="operate")).status_code == 200
        assert ask("GET", "/jobs", provider.token()).status_code == 403
        assert ask("GET", url, provider.token(scope=None)).status_code == 403

        public = json.dumps(RSAAlgorithm.to_jwk(provider.key.public_key(), as_dict=True))
        for wrong in (
            provider.token(aud="another"),
            provider.token(iss="https://id.example.com"),
            provider.token(exp=time.time() - 60),
            provider.token(exp=None),
            provider.token(sub=None),
            provider.token()[:-4] + "AAAA",
            jwt.encode({"iss": provider.issuer, "sub": "ada"}, None, "none", {"kid": "known"}),
            jwt.encode({"iss": provider.issuer}, public * 2, "HS256", {"kid": "known"}),
            "a.b.c",
        ):
            assert ask("GET", url, wrong).status_code == 401, wrong

        for number in range(20):
            assert ask("GET", url, provider.token(kid=f"unknown-{number}")).status_code == 401
        assert provider.asked <= 2


def test_without_the_provider_the_api_says_when_to_come_back(
    serve: Serve, provider: Provider
) -> None:
    token = provider.token()
    provider.server.shutdown()
    provider.server.server_close()
    settings = {"OIDC_ISSUER": provider.issuer, "OIDC_AUDIENCE": AUDIENCE}
    with serve({"task_runner": "none"}, **settings) as api, asking(api.url) as ask:
        answer = ask("GET", "/jobs", token)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@contextmanager
def asking(url: str) -> Iterator[Any]:
    with httpx2.Client(base_url=url, timeout=30) as client:

        def ask(method: str, path: str, token: str) -> httpx2.Response:
            return client.request(method, path, headers={"Authorization": f"Bearer {token}"})

        yield ask
