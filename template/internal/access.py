"""Who may use the API: API keys, of which only hashes are kept, and what each of them may do."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_NAME = re.compile(r"(?!oidc-)[a-z0-9]+(-[a-z0-9]+)*")
_HASH = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a client of the API may do."""

    ENQUEUE = "enqueue"
    """Enqueue jobs."""

    READ = "read"
    """Look up the jobs that the client itself enqueued."""

    OPERATE = "operate"
    """List, look up, cancel and retry all jobs."""


@dataclass(frozen=True)
class ApiKey:
    """One entry of `API_KEYS`: `NAME:SCOPE,SCOPE:HASH`.

    Two entries with the same name are two keys of one client, as while a key is replaced: jobs
    belong to the name.
    """

    name: str
    scopes: frozenset[Scope]
    digest: str
    """The SHA-256 of the token, which is random and long: there is nothing to guess."""

    @classmethod
    def parse(cls, entry: str) -> Self:
        """Read an entry; raise `ValueError`."""
        name, _, rest = entry.partition(":")
        scopes, _, digest = rest.partition(":")
        if not _HASH.fullmatch(digest):
            raise ValueError(
                f"an entry of API_KEYS ({name!r}) is not NAME:SCOPES:HASH, as"
                " `python -m api.keys new NAME` prints it"
            )
        return cls(check_name(name), parse_scopes(scopes), digest)

    def __str__(self) -> str:
        """Return the entry."""
        return f"{self.name}:{','.join(sorted(self.scopes))}:{self.digest}"


def check_name(name: str) -> str:
    """Return the name of a client; raise `ValueError` if it cannot be part of a job's id."""
    if not _NAME.fullmatch(name) or len(name) > 50:
        raise ValueError(
            f"{name!r} cannot be the name of an API key: use up to 50 lower-case letters, digits"
            " and hyphens, and do not begin with 'oidc-'"
        )
    return name


def parse_scopes(text: str) -> frozenset[Scope]:
    """Read scopes that commas divide; raise `ValueError`."""
    names = {name for name in text.split(",") if name}
    if unknown := names - set(Scope):
        raise ValueError(f"there is no scope {unknown.pop()!r}: use {', '.join(Scope)}")
    if not names:
        raise ValueError(f"an API key needs a scope: {', '.join(Scope)}")
    return frozenset(Scope(name) for name in names)


def new_key(name: str, scopes: frozenset[Scope]) -> tuple[str, ApiKey]:
    """Make a token for a client, and the key by which the API knows it."""
    token = secrets.token_urlsafe(32)
    return token, ApiKey(check_name(name), scopes, _digest(token))


def find_key(token: str, keys: Sequence[ApiKey]) -> ApiKey | None:
    """Return the key that a token belongs to, after the same time for every token."""
    digest, found = _digest(token), None
    for key in keys:
        if hmac.compare_digest(digest, key.digest):
            found = key
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
