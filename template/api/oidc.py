"""Tokens of an OpenID Connect provider, such as Keycloak or Auth0: JWTs that its keys signed."""

import asyncio
import hashlib
import json
import logging
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from api.access import Client
from internal.access import Scope
from internal.config import Settings

if TYPE_CHECKING:
    from jwt import PyJWKClient

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
"""Only signatures by a private key: a provider's public key must never do as a password."""

KEYS_AGE = 300.0
"""For how many seconds the provider's keys are kept."""

COOLDOWN = 30.0
"""The least number of seconds between two requests for keys, whatever tokens ask for."""

TIMEOUT = 3.0
"""How long, in seconds, the provider may take to answer."""

LEEWAY = 30.0
"""By how many seconds its clock may differ from ours."""

LONGEST = 10_000
"""How many characters a token may have."""

_log = logging.getLogger(__name__)


class ProviderUnavailable(Exception):
    """The provider's keys cannot be had, so nobody knows whether a token is valid."""

    retry_after = 5


class Provider:
    """Checks tokens with the provider's keys, which are fetched when a token needs them."""

    def __init__(self, issuer: str, audience: str) -> None:
        try:
            import jwt
        except ImportError:
            raise SystemExit(
                "OIDC_ISSUER is set, but PyJWT is not installed: `uv sync --group oidc`, or build"
                " the image with `--build-arg OIDC=1`."
            ) from None
        self._jwt = jwt
        self._issuer = issuer
        self._audience = audience
        self._keys: PyJWKClient | None = None
        self._failed = -COOLDOWN
        # Of its own, so that a slow provider occupies no thread that something else waits for.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="oidc")

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the provider that the settings name."""
        if settings.oidc_issuer and settings.oidc_audience:
            return cls(settings.oidc_issuer, settings.oidc_audience)
        return None

    async def client(self, token: str) -> Client | None:
        """Return the client that a token belongs to, or None if it is not valid.

        Raises `ProviderUnavailable`.
        """
        if len(token) > LONGEST or token.count(".") != 2:
            return None
        claims = await asyncio.get_running_loop().run_in_executor(self._thread, self._claims, token)
        if claims is None:
            return None
        owner = hashlib.sha256(f"{self._issuer}\n{claims['sub']}".encode()).hexdigest()
        named = str(claims.get("scope", "")).split()
        return Client(f"oidc-{owner[:32]}", frozenset(Scope) & frozenset(named))

    def _claims(self, token: str) -> dict[str, Any] | None:
        try:
            kid = self._jwt.get_unverified_header(token).get("kid")
            if not isinstance(kid, str):
                return None
            return self._jwt.decode(
                token,
                self._key(kid),
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except self._jwt.PyJWTError as error:
            _log.info("a token was refused: %s", type(error).__name__)
            return None

    def _key(self, kid: str) -> Any:
        if time.monotonic() - self._failed < ProviderUnavailable.retry_after:
            raise ProviderUnavailable("The OpenID Connect provider does not answer.")
        try:
            if self._keys is None:
                self._keys = self._jwt.PyJWKClient(
                    self._key_url(), lifespan=KEYS_AGE, timeout=TIMEOUT, cooldown_duration=COOLDOWN
                )
            return self._keys.get_signing_key(kid)
        except (OSError, ValueError, KeyError, self._jwt.PyJWKClientConnectionError) as error:
            self._failed = time.monotonic()
            _log.warning("the keys of %s cannot be had: %s", self._issuer, error)
            raise ProviderUnavailable("The OpenID Connect provider does not answer.") from error

    def _key_url(self) -> str:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        if urlsplit(url).scheme not in ("https", "http"):
            raise ValueError(f"{url} is no address of a web server")
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - checked above
            configuration = json.loads(answer.read(1_000_000))
        if configuration["issuer"] != self._issuer:
            raise ValueError(f"{url} is the configuration of {configuration['issuer']}")
        return str(configuration["jwks_uri"])
