"""The repository's own README and pages are true: what they say is done, in a clone of it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.answers import EVERY_RUNNER
from tests.kit.guides import Reader, Untrue, our_guides
from tests.kit.markdown import Block, blocks
from tests.kit.processes import run
from tests.kit.projects import Render
from tests.kit.repository import ROOT, tool
from tests.kit.terminal import on_a_terminal
from tests.kit.trees import git

pytestmark = pytest.mark.slow

PYTHON = ".venv/bin/python -m"

# What is run elsewhere in this suite, or is the suite itself.
ELSEWHERE = {
    "make demo": "tests/generated/test_projects.py",
    "make test": ".ci/run",
    f"{PYTHON} benchmarks.speed": "benchmarks/speed.py",
    f"{PYTHON} benchmarks.temporal_latency": "benchmarks/temporal_latency.py",
    f"{PYTHON} benchmarks.temporal_many --jobs 1000 --listed 100000": "benchmarks/temporal_many.py",
    f"{PYTHON} benchmarks.celery_throughput --jobs 1000": "benchmarks/celery_throughput.py",
    f"{PYTHON} benchmarks.celery_throughput --jobs 1000 --broker rabbitmq": "benchmarks/celery_throughput.py",
    f"{PYTHON} benchmarks.api_enqueue --requests 2000 --rounds 3": "benchmarks/api_enqueue.py",
}
IN_THE_PROJECT = ("lich update", "copier update", "git restore", "curl")


class Newcomer(Reader):
    """A reader who starts in a clone of the repository, and makes projects."""

    def start(self, checkout: Path, release: Path) -> None:
        self.checkout = self.mine = checkout
        self.release = release

    def do(self, block: Block) -> None:
        """Do what one block says where it is meant."""
        lines = [re.sub(r"\s+#.*", "", line) for line in block.text.splitlines()]
        if all(line in ELSEWHERE for line in lines):
            for line in lines:
                known_elsewhere(line)
            return
        in_project = lines[0].startswith(IN_THE_PROJECT)
        self.project = self.mine if in_project else self.checkout
        made = re.search(r"lich init (\S+)", lines[0])
        if made and not in_project:
            # The new project's folder is where all that follows is done.
            if "--from lich-wrapper" in lines[0]:
                self.without_a_checkout(lines[0])
            elif lines[0].endswith(" -l"):
                self.run(["bash", "-euc", lines[0]])
            else:
                self.type(lines[0], self.environment)
            assert lines[1:2] in ([], [f"cd {made[1]}"])
            lines, self.project = lines[2:], (self.project / made[1]).resolve()
            assert not self.project.is_relative_to(self.checkout)
            self.mine = self.project
            if not lines:
                return
        if in_project and lines[0].startswith(("lich", "copier")):
            for line in lines:
                self.commit()
                self.run(["bash", "-euc", line])
            return
        super().do(Block(block.language, "\n".join(lines) + "\n", block.line, block.file))

    def without_a_checkout(self, command: str) -> None:
        """Make a project from the release, as the index would give it, and its own template."""
        self.project = self.checkout.parent / "elsewhere"
        self.project.mkdir()
        environment = self.environment | {"UV_FIND_LINKS": str(self.release)}
        del environment["LICH_TEMPLATE"]
        self.type(command, environment)

    def type(self, command: str, environment: dict[str, str]) -> None:
        """Run a command in a terminal, and answer every question with Enter."""
        code, shown = on_a_terminal(
            command.split(), self.project, environment | {"TERM": "xterm"}, enter_when_quiet=True
        )
        assert code == 0, shown


def known_elsewhere(command: str) -> None:
    """Make sure that what is not run here is there to be run."""
    match command.split():
        case ["make", target]:
            run("make", "--dry-run", target, cwd=ROOT)
    assert (ROOT / ELSEWHERE[command]).is_file(), command


@pytest.fixture(scope="session")
def release(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a release gives: the wheel."""
    folder = tmp_path_factory.mktemp("release")
    run(tool("uv"), "build", "--quiet", "--wheel", "--out-dir", folder, template)
    return folder


@pytest.fixture
def person(template: Path, release: Path, tools: Path, tmp_path: Path) -> Iterator[Newcomer]:
    checkout = tmp_path / "lich"
    git(tmp_path, "clone", "--quiet", str(template), str(checkout))
    with Newcomer.reading(checkout, tools, "temporal") as person:
        person.start(checkout, release)
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


def test_every_page_with_commands_is_followed(render: Render) -> None:
    followed = {"README.md", "docs/update.md", "docs/benchmarks.md", "docs/quick-start.md"}
    known = {"lich update -t temporal\n", 'eval "$(lich completion bash)"\n'}
    for runner in EVERY_RUNNER:
        project = render({**runner, "docs_language": "en", "python_version": "3.12"})
        known |= {block.text for block in blocks((project / "docs/workers.md").read_text())}
    left = {
        (name, block.text)
        for name, languages in our_guides().items()
        for block in blocks(languages["en"])
        if name not in followed and block.text not in known and not one_test(block.text)
    }
    assert left == set()


def one_test(command: str) -> re.Match[str] | None:
    """Return where a command runs a test, and the test's name, if it does nothing else."""
    return re.fullmatch(r"(\.venv/bin/python -m|uv run) pytest (\S+) -k (\S+)\n", command)


def test_the_commands_that_run_a_test_find_it() -> None:
    commands = [one_test(block.text) for block in blocks(our_guides()["docs/faults.md"]["en"])]
    assert len(commands) == 6
    for command in commands:
        assert command
        root = ROOT / ("template" if command[1] == "uv run" else "tests")
        found = [
            path
            for path in root.rglob("test_*.py")
            if f"def {command[3]}(" in path.read_text() and command[2] in path.as_posix()
        ]
        assert len(found) == 1, command[0]


def test_the_completion_that_a_page_gives_works(person: Newcomer) -> None:
    person.run(["bash", "-euc", 'eval "$(lich completion bash)" && complete -p lich'])


def test_a_false_page_of_ours_is_found(person: Newcomer) -> None:
    for text in ("```bash\nmake no-such-target\n```\n", "```bash\nlich update --wrong\n```\n"):
        with pytest.raises(Untrue):
            person.follow(text, "page")
