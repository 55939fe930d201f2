"""The site: every page in both languages, its links, and how it looks in a real browser."""

import functools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from tests.kit.browser import CHROMIUM, Browser, chromium
from tests.kit.markdown import inline_code
from tests.kit.ports import free_port
from tests.kit.processes import run, stop
from tests.kit.projects import Render, migrate
from tests.kit.repository import ROOT
from tests.kit.waiting import until
from tests.kit.web import status

pytestmark = pytest.mark.slow

SIZES = {"desktop": 1280, "phone": 390}
OUTSIDE = "https://example.invalid/"

# On the Persian site too.
ENGLISH = ("fa/changelog/", "fa/contributing/", "fa/security/", "fa/decisions/")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, which no warning may interrupt."""
    folder = tmp_path_factory.mktemp("site") / "site"
    run(sys.executable, "-m", "scripts.site", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def pages(site: Path) -> list[str]:
    """Return the address of every page within the site."""
    return sorted(
        path.relative_to(site).as_posix().removesuffix("index.html")
        for path in site.rglob("index.html")
    )


class Links(HTMLParser):
    """What a page leads to, what it loads, and the places in it that can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.places |= {values[name] for name in ("id", "name") if name in values}
        if tag in ("a", "link") and "href" in values:
            kind = self.loads if tag == "link" and values.get("rel") != "canonical" else self.links
            kind.append(values["href"])
        elif "src" in values:
            self.loads.append(values["src"])


def test_both_languages_have_the_same_pages(site: Path) -> None:
    persian = [page.removeprefix("fa/") for page in pages(site) if page.startswith("fa/")]
    english = [page for page in pages(site) if not page.startswith("fa/")]
    assert persian == english
    assert len(english) >= 12


def test_every_link_leads_somewhere(site: Path) -> None:
    parsed = {page: Links((site / page / "index.html").read_text()) for page in pages(site)}
    broken = []
    for page, links in parsed.items():
        for link in [*links.links, *links.loads]:
            url, place = urldefrag(urljoin(OUTSIDE + page, link))
            if not url.startswith(OUTSIDE):
                continue
            path = unquote(urlsplit(url).path).lstrip("/")
            file = site / path / "index.html" if (site / path).is_dir() else site / path
            there = parsed.get(path)
            if not file.is_file() or (place and there and unquote(place) not in there.places):
                broken.append((page, link))
    assert broken == []


def test_the_language_switch_leads_to_the_same_page(site: Path) -> None:
    for page in pages(site):
        text = (site / page / "index.html").read_text()
        name = page.removeprefix("fa/")
        found = re.findall(r'<a href="([^"]*)" hreflang="(en|fa)"', text)
        links = {language: urljoin(OUTSIDE + page, link) for link, language in found}
        assert links == {"en": OUTSIDE + name, "fa": f"{OUTSIDE}fa/{name}"}, page


# The headings of the first documentation, by which people look for a page.
SEARCHED = {
    "": [
        "Task Runner Options", "Starting Temporal", "Starting Workers", "Example Workflow",
        "Starting Celery", "Scheduled tasks", "Example Task", "lich",
    ],
    "fa": [
        "گزینه‌های Task Runner", "راه‌اندازی Temporal", "راه‌اندازی Workers", "مثال Workflow",
        "راه‌اندازی Celery", "تسک‌های زمان‌بندی‌شده", "مثال تسک", "لیچ",
    ],
}  # fmt: skip


@pytest.mark.parametrize("language", SEARCHED)
def test_the_search_knows_the_headings_that_people_look_for(language: str, site: Path) -> None:
    index = json.loads((site / language / "search.json").read_text())
    titles = " | ".join(item["title"] for item in index["items"])
    assert [heading for heading in SEARCHED[language] if heading not in titles] == []


def test_every_column_of_a_table_has_a_heading(site: Path) -> None:
    for page in pages(site):
        text = (site / page / "index.html").read_text()
        assert re.findall(r"<th[^>]*>\s*</th>", text) == [], page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        loads = Links((site / page / "index.html").read_text()).loads
        assert [load for load in loads if re.match(r"(https?:)?//", load)] == [], page


def test_every_test_that_a_page_names_is_one_of_ours() -> None:
    ours = {
        name
        for folder in ("tests", "template")
        for path in (ROOT / folder).rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = {
        code
        for path in (ROOT / "docs").rglob("*.md")
        for code in inline_code(path.read_text())
        if code.startswith("test_")
    }
    assert named
    assert named <= ours


@pytest.mark.parametrize("size", SIZES)
def test_every_page_is_right_in_a_browser(
    size: str, site: Path, address: str, browser: Browser
) -> None:
    for name in pages(site):
        page = browser.open(address + name, SIZES[size])
        assert page.errors == [], name
        assert [url for url in page.requests if not url.startswith((address, "data:"))] == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size], name
        direction = page.evaluate(
            "getComputedStyle(document.querySelector('article h1')).direction"
        )
        english = not name.startswith("fa/") or name.startswith(ENGLISH)
        assert direction == ("ltr" if english else "rtl"), name
        code = "[...document.querySelectorAll('article pre, article code')]"
        assert page.evaluate(f"{code}.every(c => getComputedStyle(c).direction == 'ltr')"), name
        images = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
        assert page.evaluate(images), name
        # Text in a picture is not made so small that it cannot be read.
        sizes = "[...document.images].map(i => i.width / i.naturalWidth)"
        assert min(page.evaluate(sizes), default=1) > 0.55, name


# The contrast of the page one is on, in the navigation, as WCAG computes it.
CONTRAST = """(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => color.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const link = getComputedStyle(document.querySelector(".md-nav--primary .md-nav__link--active"));
  const page = numbers(getComputedStyle(document.body).backgroundColor);
  const [r, g, b, alpha = 1] = numbers(link.backgroundColor);
  const behind = [r, g, b].map((c, i) => c * alpha + page[i] * (1 - alpha));
  const [dark, light] = [luminance(numbers(link.color)), luminance(behind)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
})()"""


@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_the_entry_of_this_page_can_be_read(scheme: str, address: str, browser: Browser) -> None:
    page = browser.open(f"{address}runners/", SIZES["desktop"])
    page.evaluate(f"document.body.setAttribute('data-md-color-scheme', '{scheme}')")
    page.evaluate("new Promise((done) => setTimeout(done, 500))")
    assert page.evaluate(CONTRAST) >= 4.5


def test_the_keyboard_reaches_what_scrolls(address: str, browser: Browser) -> None:
    page = browser.open(f"{address}fa/benchmarks/", SIZES["phone"])
    scrolling = (
        "[...document.querySelectorAll('article *')].filter(e => e.scrollWidth > e.clientWidth + 1"
        " && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX))"
    )
    assert page.evaluate(f"{scrolling}.length") >= 2
    assert page.evaluate(f"{scrolling}.filter(e => e.tabIndex < 0).map(e => e.outerHTML)") == []


def test_persian_is_shown_in_its_own_font(address: str, browser: Browser) -> None:
    page = browser.open(f"{address}fa/", 1280)
    loaded = "[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family).join()"
    assert "Vazirmatn" in page.evaluate(loaded)


@pytest.fixture
def api(render: Render) -> Iterator[str]:
    """Serve the API of a project whose jobs run inside of it."""
    project = render({"task_runner": "none", "docs_language": "en", "python_version": "3.12"})
    migrate(project)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--port", str(port)]
    server = subprocess.Popen(command, cwd=project, stderr=subprocess.DEVNULL)
    try:
        until(lambda: status(f"http://127.0.0.1:{port}/readyz") == 200)
        yield f"http://127.0.0.1:{port}/"
    finally:
        stop(server)


@pytest.mark.parametrize("size", SIZES)
def test_the_api_s_own_documentation_loads_nothing_from_elsewhere(
    size: str, api: str, browser: Browser
) -> None:
    shown = "document.body.innerText.includes('/jobs/{job_id}/retry')"
    page = browser.open(f"{api}docs", SIZES[size], wait=shown)
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith((api, "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]
