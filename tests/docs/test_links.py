"""Links and pictures of the repository's pages work where a forge shows them, and on the site."""

import posixpath
import re
from urllib.parse import unquote

import pytest

from scripts import site
from tests.kit.markdown import unfenced
from tests.kit.repository import ROOT
from tests.kit.trees import git

TRACKED = set(git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"))
PAGES = sorted(path for path in TRACKED if re.fullmatch(r"[^/]+\.md|docs/.+\.md", path))


def links(text: str) -> list[str]:
    """Return where the links and pictures of a page lead within the repository."""
    text = re.sub(r"<!--.*?-->", "", re.sub(r"`[^`\n]*`", "", unfenced(text)), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    found += re.findall(r"<(?:a|img|source)[^>]*?(?:href|src|srcset)=\"([^\"]+)\"", text)
    return [link for link in found if not re.match(r"\w+:", link)]


def headings(text: str) -> set[str]:
    """Return the names of the places in a page, as a forge makes them of its headings."""
    return {
        re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"(?m)^#+ (.+)$", unfenced(text))
    }


def broken(page: str) -> list[str]:
    """Return the links of a page that lead nowhere in the repository."""
    wrong = []
    for link in links((ROOT / page).read_text()):
        name, _, heading = unquote(link).partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), name)) if name else page
        there = path in TRACKED or any(other.startswith(f"{path}/") for other in TRACKED)
        if not there or (heading and heading not in headings((ROOT / path).read_text())):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere_in_the_repository(page: str) -> None:
    assert broken(page) == []


def test_the_pages_have_links_and_pictures() -> None:
    assert {"docs/en/faults.md", "docs/assets/images/demo.png", "LICENSE"} <= set(
        links((ROOT / "README.md").read_text())
    )
    assert "../assets/images/init.png" in links((ROOT / "docs/fa/quick-start.md").read_text())


def test_links_that_only_look_like_some_are_none() -> None:
    assert links("`[a](b)` [c](https://d) <!-- [e](f) -->\n\n```text\n[g](h)\n```\n") == []
    assert links("[![a](b.png)](c.md#d)") == ["b.png", "c.md#d"]


@pytest.mark.parametrize(
    ("page", "link", "on_the_site"),
    [
        ("README.md", "[a](docs/en/update.md#b)", "[a](update.md#b)"),
        ("README.md", "![a](docs/assets/images/b.png)", "![a](assets/images/b.png)"),
        ("README.md", "[a](LICENSE)", "[a](LICENSE.txt)"),
        ("README.md", "[a](CHANGELOG.md)", "[a](changelog.md)"),
        ("README.md", "[a](https://example.com)", "[a](https://example.com)"),
        ("docs/en/update.md", "![a](../assets/images/b.png)", "![a](assets/images/b.png)"),
        ("docs/en/update.md", "[a](../../README.md)", "[a](index.md)"),
        ("docs/en/update.md", "[a](../decisions/b.md)", "[a](decisions/b.md)"),
        ("docs/en/update.md", "[a `b`](../../copier.yml)", "a `b`"),
        ("docs/en/update.md", "<!-- site: [a](guide/b.md) -->", "[a](guide/b.md)"),
        ("docs/decisions/b.md", "[a](../en/update.md)", "[a](../update.md)"),
        ("docs/decisions/b.md", "[![a](../assets/b.png)](c.md)", "[![a](../assets/b.png)](c.md)"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(
    page: str, link: str, on_the_site: str
) -> None:
    assert site.on_the_site(link, page, "en") == on_the_site
