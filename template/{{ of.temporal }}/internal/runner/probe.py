"""Ask the worker on this machine for its health: `python -P internal/runner/probe.py [livez]`.

Run every few seconds, so it imports nothing that is slow to load. With `-m`, Python would import
the package around it, which takes 20 times as long.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException


def main() -> None:
    """End with 0 if the worker is ready, or live if that is asked, and else say why not."""
    question = sys.argv[1] if len(sys.argv) > 1 else "readyz"
    port = os.environ.get("WORKER_HEALTH_PORT")
    if not port:
        sys.exit("WORKER_HEALTH_PORT is not set: the worker answers no probe.")
    connection = HTTPConnection("127.0.0.1", int(port), timeout=4)
    try:
        connection.request("GET", f"/{question}")
        answer = connection.getresponse()
        reason = answer.read().decode()
    except (OSError, HTTPException) as error:
        sys.exit(f"The worker does not answer: {error}")
    if answer.status != 200:
        sys.exit(f"{question} does not hold. {reason}")


if __name__ == "__main__":
    main()
