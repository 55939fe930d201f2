"""Take the pictures of the documentation from the real thing.

Usage: python -m scripts.pictures

Makes a project, runs its development stack, lets it do a job, and looks at it with Chromium.
What commands print is taken from a terminal of their own, with its colours. All pictures are
narrow, so that a phone shows their text in a readable size.
"""

import html
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.kit.browser import Browser, chromium
from tests.kit.guides import Reader, tools_in
from tests.kit.projects import release
from tests.kit.repository import ROOT
from tests.kit.terminal import on_a_terminal

IMAGES = ROOT / "docs/assets/images"
COLUMNS = 60
PAGE_WIDTH = 600

_COLOURS = {
    "1": "font-weight: bold", "31": "color: #f87171", "32": "color: #4ade80",
    "33": "color: #facc15", "34": "color: #60a5fa", "36": "color: #22d3ee",
}  # fmt: skip

_PAGE = """<!doctype html><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><style>
body { margin: 0; background: #1e1e2e; color: #d9d9e3; }
pre { margin: 0; padding: 16px; font: 14px/1.45 "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.prompt { color: #a3a3b8; }
</style><pre id="terminal">"""


def main() -> int:
    """Take all pictures."""
    with tempfile.TemporaryDirectory(prefix="lich-pictures-") as name:
        folder = Path(name)
        tools = tools_in(folder / "tools/bin")
        project = folder / "my-app"
        template = release(folder / "lich", "v1.0.0")
        os.environ["LICH_TEMPLATE"] = str(template)
        with (
            chromium(folder / "profile") as browser,
            Reader.reading(project, tools, "temporal") as person,
        ):
            person.project = template
            demo = in_a_terminal(person, "make demo").replace(str(template), "~/lich")
            terminal(browser, "make demo", demo, "demo.png")
            person.project = folder
            init = "lich init my-app -t temporal -l"
            shown = in_a_terminal(person, init)
            terminal(browser, init, shown.replace(f" --template {template}", ""), "init.png")
            person.project = project
            preview = "lich update -t celery --dry-run"
            until_diff = in_a_terminal(person, preview).partition("\ndiff --git")[0]
            terminal(browser, preview, until_diff, "preview.png")
            work(browser, person)
    return 0


def in_a_terminal(person: Reader, command: str) -> str:
    """Return what a command prints in a terminal."""
    environment = person.environment | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    environment.pop("NO_COLOR", None)
    code, shown = on_a_terminal(["bash", "-c", command], person.project, environment)
    if code:
        raise SystemExit(shown)
    return shown.replace("\r\n", "\n")


def terminal(browser: Browser, command: str, printed: str, name: str) -> None:
    """Take the picture of a terminal."""
    text = f'<span class="prompt">$</span> {html.escape(command)}\n' + coloured(printed)
    page = _PAGE + text.rstrip()
    with tempfile.NamedTemporaryFile("w", suffix=".html") as file:
        file.write(page)
        file.flush()
        width = 16 * 2 + round(8.45 * COLUMNS)
        opened = browser.open(f"file://{file.name}", width)
        height = opened.evaluate("document.getElementById('terminal').offsetHeight")
        browser.open(f"file://{file.name}", width, height).picture(IMAGES / name)


def coloured(printed: str) -> str:
    """Return what was printed as HTML with the terminal's colours."""
    parts = re.split(r"\x1b\[([\d;]*)m", printed)
    shown = [html.escape(parts[0])]
    styles: list[str] = []
    for codes, text in zip(parts[1::2], parts[2::2], strict=True):
        for code in codes.split(";"):
            styles = [] if code in ("", "0") else [*styles, _COLOURS.get(code, "")]
        shown.append(f'<span style="{"; ".join(styles)}">{html.escape(text)}</span>')
    return "".join(shown)


def work(browser: Browser, person: Reader) -> None:
    """Let the project send an e-mail, and take the pictures of its history and of the API."""
    person.shell("uv sync --quiet\nuv run honcho start\n")
    person.shell(
        "curl -X POST http://127.0.0.1:8000/jobs/email"
        ' -H "Content-Type: application/json" -H "Idempotency-Key: welcome-42"'
        """ -d '{"to": "ada@example.com", "subject": "Welcome", "body": "Good to see you."}'"""
    )
    ui = int(person.environment["ENGINE_PORT"]) + 1000
    url = f"http://127.0.0.1:{ui}/namespaces/default/workflows/{person.job}"
    done = "document.body.innerText.includes('send_email_activity')"
    # Its own server may need a moment until it has an answer.
    time.sleep(5)
    page = browser.open(url, PAGE_WIDTH, 900, wait=done)
    # The timeline is drawn in steps.
    time.sleep(2)
    page.picture(IMAGES / "temporal-ui.png")
    shown = "document.body.innerText.includes('/readyz')"
    page = browser.open(f"http://127.0.0.1:{person.port}/docs", PAGE_WIDTH, 700, wait=shown)
    page.picture(IMAGES / "api.png")


if __name__ == "__main__":
    sys.exit(main())
