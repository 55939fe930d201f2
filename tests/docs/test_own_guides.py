"""The repository's own README and pages are true: what they say is done, in a clone of it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.guides import Reader, Untrue, our_guides
from tests.kit.markdown import Block, blocks
from tests.kit.processes import run
from tests.kit.repository import ROOT
from tests.kit.terminal import on_a_terminal
from tests.kit.trees import git

pytestmark = pytest.mark.slow

# What is run elsewhere in this suite, or is the suite itself.
ELSEWHERE = {
    "make demo": "tests/generated/test_projects.py",
    "make test": ".ci/run",
    ".venv/bin/python -m benchmarks.speed": "benchmarks/speed.py",
    ".venv/bin/python -m benchmarks.temporal_latency": "benchmarks/temporal_latency.py",
    ".venv/bin/python -m benchmarks.celery_throughput": "benchmarks/celery_throughput.py",
    ".venv/bin/python -m benchmarks.celery_storm": "benchmarks/celery_storm.py",
}
IN_THE_PROJECT = ("lich update", "copier update", "git restore", "curl")


class Newcomer(Reader):
    """A reader who starts in a clone of the repository, and makes projects."""

    def start(self, checkout: Path) -> None:
        self.checkout = self.mine = checkout

    def do(self, block: Block) -> None:
        """Do what one block says where it is meant."""
        lines = [re.sub(r"\s+#.*", "", line) for line in block.text.splitlines()]
        if all(line in ELSEWHERE for line in lines):
            for line in lines:
                known_elsewhere(line)
            return
        in_project = lines[0].startswith(IN_THE_PROJECT)
        self.project = self.mine if in_project else self.checkout
        if lines[0].startswith("lich init my-app"):
            self.type(lines[0])
            lines, self.project = lines[2:], self.project / "my-app"
            self.mine = self.project
        elif "lich init" in lines[0]:
            # Its folder is where all that follows is done.
            found = re.search(r"lich init (\S+)", lines[0])
            assert found
            assert lines[1] == f"cd {found[1]}"
            self.run(["bash", "-euc", lines[0]])
            lines, self.project = lines[2:], (self.project / found[1]).resolve()
            self.mine = self.project
        if in_project and lines[0].startswith(("lich", "copier")):
            for line in lines:
                self.commit()
                self.run(["bash", "-euc", line])
            return
        super().do(Block(block.language, "\n".join(lines) + "\n", block.line, block.file))

    def type(self, command: str) -> None:
        """Run a command in a terminal, and answer every question with Enter."""
        environment = self.environment | {"TERM": "xterm"}
        code, shown = on_a_terminal(
            command.split(), self.project, environment, enter_when_quiet=True
        )
        assert code == 0, shown


def known_elsewhere(command: str) -> None:
    """Make sure that what is not run here is there to be run."""
    match command.split():
        case ["make", target]:
            run("make", "--dry-run", target, cwd=ROOT)
    assert (ROOT / ELSEWHERE[command]).is_file(), command


@pytest.fixture
def person(template: Path, tools: Path, tmp_path: Path) -> Iterator[Newcomer]:
    checkout = tmp_path / "lich"
    git(tmp_path, "clone", "--quiet", str(template), str(checkout))
    with Newcomer.reading(checkout, tools, "temporal") as person:
        person.start(checkout)
        person.environment["LICH_TEMPLATE"] = str(checkout)
        yield person


@pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="the default answers ask for Python 3.12: make test PYTHON=python3.12",
)
@pytest.mark.parametrize(
    "guides",
    [["README.md", "docs/update.md", "docs/benchmarks.md"], ["docs/quick-start.md"]],
    ids=["readme", "quick-start"],
)
def test_every_step_of_our_own_pages_succeeds(guides: list[str], person: Newcomer) -> None:
    for guide in guides:
        person.follow(our_guides()[guide]["en"], guide)


def test_every_page_with_commands_is_followed() -> None:
    followed = {"README.md", "docs/update.md", "docs/benchmarks.md", "docs/quick-start.md"}
    known = {"lich update -t temporal\n", 'eval "$(lich completion bash)"\n'}
    left = {
        (name, block.text)
        for name, languages in our_guides().items()
        for block in blocks(languages["en"])
        if name not in followed and block.text not in known
    }
    assert left == set()


def test_the_completion_that_a_page_gives_works(person: Newcomer) -> None:
    person.run(["bash", "-euc", 'eval "$(lich completion bash)" && complete -p lich'])


def test_a_false_page_of_ours_is_found(person: Newcomer) -> None:
    for text in ("```bash\nmake no-such-target\n```\n", "```bash\nlich update --wrong\n```\n"):
        with pytest.raises(Untrue):
            person.follow(text, "page")
