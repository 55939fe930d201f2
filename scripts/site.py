"""Build the documentation site into `site/`: English, and Persian in `site/fa/`.

Usage: python -m scripts.site [FOLDER]

Most pages are in `docs/en` and `docs/fa`. The others are made from their sources, so that the two
cannot differ: the home pages from the READMEs, the guides from the template, the command line's
reference from the command line.

A link in a page is the path in the repository, where a forge shows it; here it becomes the
path on the site. What only the site can show stands in a comment: `<!-- site: ... -->`.
"""

import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from lich_wrapper.cli import cli
from tests.kit.projects import render
from tests.kit.repository import ROOT, RUNNERS

READMES = {"en": "README.md", "fa": "README.fa.md"}

# Files of the repository that are on the site in both languages, in English.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}

# The guides of a generated project, which link to each other; here there is one for each runner.
GUIDES = ("jobs", "workers", "database", "security", "production", "kubernetes")

DECISIONS = {"en": "Decisions", "fa": "تصمیم‌ها (انگلیسی)"}  # noqa: RUF001 - Persian

# What has no links of the repository: code, and what only the site shows.
_KEPT = re.compile(r"(^ *```.*?^ *```$|<!-- site: .*? -->)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")


def main() -> int:
    """Build both languages; a broken link or any other warning is an error."""
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site").resolve()
    shutil.rmtree(site, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="lich-site-") as folder:
        sources = Path(folder)
        for language in READMES:
            prepare(language, sources)
            done = subprocess.run(
                [sys.executable, "-m", "zensical", "build", "--strict", "-f", f"{language}.yml"],
                cwd=sources, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                check=False,
            )  # fmt: skip
            if done.returncode or "No issues found" not in done.stdout:
                print(done.stdout, file=sys.stderr)
                return 1
        shutil.move(sources / "built/en", site)
        shutil.move(sources / "built/fa", site / "fa")
    for page in site.rglob("index.html"):
        switch_language(page, site)
    print(site)
    return 0


def prepare(language: str, sources: Path) -> None:
    """Put all pages of a language into a folder, and its configuration beside it."""
    pages = sources / language
    shutil.copytree(ROOT / "docs/assets", pages / "assets")
    settings = (ROOT / f"docs/{language}.yml").read_text()
    (sources / f"{language}.yml").write_text(settings + "".join(decisions(language)))
    shutil.copy(ROOT / "LICENSE", pages / "LICENSE.txt")
    for path in sorted(repository_pages(language)):
        target = pages / str(place(path, language))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(path, language))
    (pages / "guide").mkdir()
    for runner in RUNNERS:
        project = render(
            sources / "projects" / f"{runner}-{language}",
            {
                "project_name": "My App",
                "task_runner": runner,
                "docs_language": language,
                "kubernetes": True,
            },
        )
        for name in GUIDES:
            text = without_direction((project / f"docs/{name}.md").read_text())
            text = re.sub(rf"\]\(({'|'.join(GUIDES)})\.md", rf"]({runner}-\1.md", text)
            (pages / f"guide/{runner}-{name}.md").write_text(text)
    reference = pages / "command-line.md"
    reference.write_text(reference.read_text() + "".join(commands()))


def repository_pages(language: str) -> Iterator[str]:
    """Return the paths of the repository's files that become pages of a language."""
    yield READMES[language]
    yield from (name for name in PAGES if (ROOT / name).exists())
    for folder in (f"docs/{language}", "docs/decisions"):
        for path in (ROOT / folder).glob("**/*.md"):
            yield path.relative_to(ROOT).as_posix()


def decisions(language: str) -> Iterator[str]:
    """Return the end of the navigation: the decision records, by their titles."""
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    if pages:
        yield f"  - {DECISIONS[language]}:\n"
    for path in pages:
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        there = place(path.relative_to(ROOT).as_posix(), language)
        yield f"      - {json.dumps(title)}: {there}\n"


def place(path: str, language: str) -> str | None:
    """Return where a file of the repository is on the site of a language, or None if it is not."""
    if path == READMES[language]:
        return "index.md"
    if path == "LICENSE":
        return "LICENSE.txt"
    if path.startswith(f"docs/{language}/"):
        return path.removeprefix(f"docs/{language}/")
    if path.startswith(("docs/assets/", "docs/decisions/")):
        return path.removeprefix("docs/").replace("decisions/README.md", "decisions/index.md")
    return PAGES.get(path)


def page(path: str, language: str) -> str:
    """Return a file of the repository as a page of the site."""
    text = without_direction((ROOT / path).read_text())
    if path == READMES[language]:
        # The other language is a click on its name in the header.
        text = re.sub(r"(?m)^.*\]\(README(\.fa)?\.md\).*\n\n", "", text)
    text = on_the_site(text, path, language)
    own = path.startswith(f"docs/{language}/") or path in READMES.values()
    return text if own else left_to_right(text, language)


def on_the_site(text: str, path: str, language: str) -> str:
    """Return the text of a file of the repository with the links that it has on the site."""
    here = posixpath.dirname(str(place(path, language)))

    def link(found: re.Match[str]) -> str:
        image, shown, target = found.groups()
        shown = _LINK.sub(link, shown)
        if re.match(r"\w+:|#", target):
            return f"{image}[{shown}]({target})"
        name, _, heading = target.partition("#")
        there = place(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)), language)
        if there is None:
            # It is in the repository only: what it is called remains.
            return shown
        there = posixpath.relpath(there, here or ".") + (f"#{heading}" if heading else "")
        return f"{image}[{shown}]({there})"

    parts = _KEPT.split(text)
    parts[::2] = [_LINK.sub(link, part) for part in parts[::2]]
    return re.sub(r"<!-- site: (.*?) -->", r"\1", "".join(parts), flags=re.DOTALL)


def switch_language(page: Path, site: Path) -> None:
    """Let the names of the languages lead to this page in each of them."""
    name = page.parent.relative_to(site).as_posix()
    name = "" if name in (".", "fa") else name.removeprefix("fa/")
    pages = {"en": site / name, "fa": site / "fa" / name}

    def link(found: re.Match[str]) -> str:
        path = posixpath.relpath(pages[found[1]].as_posix(), page.parent.as_posix())
        return f'<a href="{path}/" hreflang="{found[1]}"'

    # The links in the head stay: the theme's script looks for the sitemaps there.
    page.write_text(re.sub(r'<a href="[^"]*" hreflang="(en|fa)"', link, page.read_text()))


def without_direction(text: str) -> str:
    """Leave out what turns a page on its own; on the site, the whole page has its direction."""
    return text.removeprefix('<div dir="rtl">\n\n').removesuffix("\n</div>\n")


def left_to_right(text: str, language: str) -> str:
    """Let an English page be one on the Persian site too."""
    if language == "en":
        return text
    return f'<div dir="ltr" lang="en" markdown>\n\n{text}\n</div>\n'


def commands() -> Iterator[str]:
    """Return the help of every command, as `lich COMMAND --help` prints it."""
    for name, command in sorted(cli.commands.items()):
        if not command.hidden:
            context = click.Context(command, info_name=f"lich {name}", terminal_width=88)
            yield f"\n## lich {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
