"""A headless Chromium, driven through its debugging pipe: opens, measures and pictures pages."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kit.processes import stop

CHROMIUM = shutil.which("chromium")

# Nothing but the page sends requests.
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


@dataclass
class Page:
    """A page as it was opened at one size."""

    browser: "Browser"
    errors: list[str] = field(default_factory=list)
    """What the console said was wrong."""
    requests: list[str] = field(default_factory=list)
    """The addresses that were asked for."""

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.browser.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write what is seen to a PNG file."""
        answer = self.browser.ask("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """One tab of a running Chromium."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        tab = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and return its answer; events that come in between are kept."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def open(self, url: str, width: int, height: int = 900, wait: str = "true") -> Page:
        """Open a page at a size, and wait until it is quiet and an expression holds."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self._events.clear()
        self.ask("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._next())
        page = Page(self)
        page.evaluate(
            "new Promise((done, fail) => { const end = Date.now() + 30000; const look = () =>"
            f" {{ if ({wait}) document.fonts.ready.then(() => setTimeout(() => done(true), 100));"
            " else if (Date.now() > end) fail(new Error(document.body.innerText));"
            " else setTimeout(look, 50) }; look() })"
        )
        for event in self._events:
            match event:
                case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                    page.errors.append(f"{entry['text']} {entry.get('url', '')}")
                case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                    page.errors.append(str(details.get("exception", details)))
                case {"method": "Runtime.consoleAPICalled", "params": {"type": "error"} as said}:
                    page.errors.append(str(said["args"]))
                case {"method": "Network.requestWillBeSent", "params": {"request": request}}:
                    page.requests.append(request["url"])
        return page

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            assert part, "Chromium has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        content: dict[str, Any] = json.loads(message)
        return content


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Run a browser with a profile of its own."""
    assert CHROMIUM
    read_theirs, write_ours = os.pipe()
    read_ours, write_theirs = os.pipe()
    # It reads from descriptor 3 and writes to 4.
    script = f'exec "$@" 3<&{read_theirs} 4>&{write_theirs}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", CHROMIUM, *_FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(read_theirs, write_theirs), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read_theirs)
    os.close(write_theirs)
    try:
        yield Browser(read_ours, write_ours)
    finally:
        os.close(write_ours)
        os.close(read_ours)
        stop(process)
