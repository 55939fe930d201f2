"""Build the documentation site into `site/`: English, and Persian in `site/fa/`.

Usage: python -m scripts.site [FOLDER]

Most pages are in `docs/en` and `docs/fa`. The others are made from what they tell of, so that
they cannot say anything else: the home pages from the READMEs, the guides from the template,
the command line's reference from the command line.
"""

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
from tests.kit.repository import LANGUAGES, ROOT, RUNNERS

READMES = {"en": "README.md", "fa": "README.fa.md"}

# Where a link of a README leads on the site.
PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def main() -> int:
    """Build both languages; a broken link or any other warning is an error."""
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site").resolve()
    shutil.rmtree(site, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="lich-site-") as folder:
        sources = Path(folder)
        for language in LANGUAGES:
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
    print(site)
    return 0


def prepare(language: str, sources: Path) -> None:
    """Put all pages of a language into a folder, and its configuration beside it."""
    pages = sources / language
    shutil.copytree(ROOT / "docs" / language, pages)
    shutil.copytree(ROOT / "docs/assets", pages / "assets")
    shutil.copy(ROOT / f"docs/{language}.yml", sources)
    (pages / "index.md").write_text(home(language))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text().replace("](docs/", "](")
        (pages / PAGES[name]).write_text(left_to_right(text, language))
    (pages / "decisions").mkdir()
    for page in (ROOT / "docs/decisions").iterdir():
        text = left_to_right(page.read_text(), language)
        (pages / "decisions" / page.name).write_text(text)
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
        for name in ("workers", "kubernetes"):
            text = without_direction((project / f"docs/{name}.md").read_text())
            (pages / f"guide/{runner}-{name}.md").write_text(text)
    reference = pages / "command-line.md"
    reference.write_text(reference.read_text() + "".join(commands()))


def home(language: str) -> str:
    """Return a README as the home page of its language."""
    text = without_direction((ROOT / READMES[language]).read_text())
    # The other language is a click on its name in the header.
    text = re.sub(r"(?m)^.*\]\(README(\.fa)?\.md\).*\n\n", "", text)

    def link(found: re.Match[str]) -> str:
        target = found[1].removeprefix(f"docs/{language}/").removeprefix("docs/")
        return f"]({PAGES.get(target, target)})"

    return re.sub(r"\]\(([^):]+)\)", link, text)


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
