"""Plain requests to a server on this machine."""

import json
import urllib.error
import urllib.request
from typing import Any

__all__ = ["request", "status"]


def status(url: str) -> int:
    """Return the status of an answer, 0 for none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def request(url: str, body: object = None) -> dict[str, Any]:
    """GET, or POST a body as JSON, and return the answer's JSON.

    Raises OSError (`urllib.error.URLError`) with what the server said if that is an error.
    """
    data = None if body is None else json.dumps(body).encode()
    message = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(message, timeout=60) as answer:
            content: dict[str, Any] = json.load(answer)
            return content
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise OSError(f"{url} answered {error.code}: {said}") from error
