"""Which client is asking, what it may do, and which routes need no client."""

from dataclasses import dataclass
from typing import Any

from fastapi import Depends, HTTPException, Request

from internal.access import Scope
from internal.runner import JobInfo, JobNotFound

PUBLIC = frozenset({"/livez", "/readyz"})
"""The paths of routes that anybody may use; all others ask for a token.

A path may have parameters, as in `/files/{name}`.
"""


@dataclass(frozen=True)
class Client:
    """Who is asking."""

    name: str | None
    """Jobs that it enqueues belong to this name; None where nobody is asked for one."""

    scopes: frozenset[Scope]

    def require_visible(self, job: JobInfo) -> None:
        """Raise `JobNotFound` for a job of another client, unless this one may operate."""
        if Scope.OPERATE not in self.scopes and job.enqueued_by != self.name:
            raise JobNotFound(job.id)


ANYBODY = Client(None, frozenset(Scope))
"""Who asks where no token is needed, as in development."""


def requires(*scopes: Scope) -> Any:
    """Return a dependency that answers 403 to clients with none of the scopes.

    It is the `Client` that is asking. Without it, a route is open to every client with a token.
    """

    async def check(request: Request) -> Client:
        client: Client | None = request.state.client
        if client is None or client.scopes.isdisjoint(scopes):
            raise HTTPException(
                403,
                f"This needs the scope {' or '.join(scopes)}.",
                {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scopes[0]}"'},
            )
        return client

    return Depends(check)
