"""The names under which the API may be asked (`ALLOWED_HOSTS`)."""

from collections.abc import Collection

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PROBES = ("/livez", "/readyz")
"""What probes the API asks it by its address, which nobody knows beforehand."""


class AllowedHosts(TrustedHostMiddleware):
    """Answers 400 to a request for another host, unless it is a probe."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        super().__init__(app, list(hosts), www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; pass any other on to the application."""
        probed = scope["type"] == "http" and scope["path"] in PROBES
        await (self.app if probed else super().__call__)(scope, receive, send)
