"""Random projects, templates and interruptions: no line is lost, and nothing is written outside.

An ordinary run makes few of them; before a release, LICH_EXAMPLES=2000 makes many. Every example
follows from LICH_SEED and its number, which a failure names.
"""

import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lich_wrapper import cli
from tests.kit.moments import Moment, update_with
from tests.kit.trees import Tree, snapshot
from tests.wrapper.conftest import ANSWERS, Lich
from tests.wrapper.test_hostile import SPELLINGS
from tests.wrapper.test_kinds import KINDS, make
from tests.wrapper.test_properties import IGNORED, PATHS, Step, change, original

EXAMPLES = int(os.environ.get("LICH_EXAMPLES", "12"))
SEED = int(os.environ.get("LICH_SEED", "1"))
# A file for the count of what happened so far.
LOG = os.environ.get("LICH_LOG")
EXAMPLES_OF_A_TEMPLATE = 4

CONFIG = "_exclude: []\n_preserve_symlinks: true\nname: {type: str, default: x}\n"
REMOVED = "removed although you edited it"
SAVED = b"saved meanwhile\n"

Files = dict[str, tuple[str, bytes]]

pytestmark = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


@dataclass(frozen=True)
class Template:
    """A template, a project of its first version, and whether its second one is hostile."""

    source: Path
    project: Path
    hostile: bool


def steps(rng: random.Random, kinds: list[str], most: int) -> list[Step]:
    return [
        Step(rng.choice(kinds), rng.choice(PATHS), rng.randrange(20), rng.choice(PATHS))
        for _ in range(rng.randint(1, most))
    ]


def other_kind(rng: random.Random, folder: Path, author: str) -> None:
    """Make a file, a link or a folder of one of the paths, whatever it was."""
    path = folder / rng.choice(PATHS)
    if not any(above.is_symlink() or above.is_file() for above in path.parents):
        make(path, rng.choice(KINDS), f"one\ntwo\n{author} made this\n")


def make_hostile(rng: random.Random, tree: Tree, outside: Path) -> None:
    """Have a template write what none may, or where none may."""
    name = "{{ '" + rng.choice([*SPELLINGS.values()]).replace("\\", "\\\\") + "' }}"
    below = rng.choice(["", "dir/", "some/deep/"])
    folder = tree.path / "template"
    link = folder / below / "a_link"
    link.parent.mkdir(parents=True, exist_ok=True)
    match rng.randrange(7):
        case 0:
            tree.write({f"template/{below}{name}/config": "[core]\n\tfsmonitor = touch ran\n"})
        case 1:
            tree.write({f"template/{below}{name}": "gitdir: elsewhere\n"})
        case 2:
            link.symlink_to(rng.choice([str(outside), "../" * 9 + "etc", f"{'../' * 4}outside"]))
        case 3:
            (folder / "{{ 'a_link' }}").symlink_to(outside)
            tree.write({"template/a_link/evil.txt": "evil\n"})
        case 4:
            link.symlink_to(f"{'../' * below.count('/')}.git/hooks")
        case 5:
            place = rng.choice([str(outside), "../..", "template/../../outside"])
            tree.write({"copier.yml": f"_subdirectory: {place}\n{CONFIG}"})
        case _:
            tree.write(
                {f"template/{below}bare/{n}": "x\n" for n in ("HEAD", "objects/a", "refs/a")}
            )


def make_template(lich: Lich, folder: Path, number: int) -> Template:
    rng = random.Random(f"{SEED} template {number}")
    tree = Tree(folder / f"template-{number}")
    start = rng.sample(PATHS, rng.randint(3, len(PATHS)))
    tree.write(
        {
            "copier.yml": f"_subdirectory: template\n{CONFIG}",
            "template/{{ _copier_conf.answers_file }}.jinja": ANSWERS,
            "template/named.txt.jinja": "one\n{{ name }}\nthree\n",
            **{f"template/{path}": original(path, number + len(path)) for path in start},
        }
    )
    tree.commit("v1.0.0")
    project = folder / f"project-{number}" / "app"
    assert lich("init", project, "--template", tree.path, "-l").code == 0
    kinds = ["insert", "replace", "cut", "delete", "rename", "add", "mode"]
    change(tree.path / "template", steps(rng, kinds, 6), "template")
    for _ in range(rng.randrange(3)):
        other_kind(rng, tree.path / "template", "template")
    # There always is an update.
    tree.write({"template/named.txt.jinja": "one\n{{ name }}\nthree\nfour\n"})
    hostile = rng.random() < 0.25
    if hostile:
        make_hostile(rng, tree, folder / "outside")
    tree.commit("v2.0.0")
    return Template(tree.path, project, hostile)


def lines_of(files: Files) -> set[bytes]:
    contents = [content for _, content in files.values()]
    return {
        line.strip() for content in contents for line in content.splitlines() if b"user" in line
    }


def git_s_own(project: Path) -> dict[str, bytes]:
    """Return what could run commands, or is a trace of an update that has ended."""
    places = ["config", "hooks", "info", "lich-update", "index.lock", "HEAD"]
    return {
        path.relative_to(project).as_posix(): path.read_bytes() if path.is_file() else b""
        for place in places
        for path in [project / ".git" / place, *(project / ".git" / place).rglob("*")]
        if os.path.lexists(path)
    }


def staged(project: Tree) -> bytes:
    """Return all that the unmerged stages of the index hold."""
    listed = project.git("ls-files", "--unmerged", "-z").split("\0")
    ids = sorted({entry.split()[1] for entry in listed if entry})
    return project.bytes("show", *ids) if ids else b""


@dataclass(frozen=True)
class Interruption:
    """A signal to the update, or a file that the user saves, at a given moment."""

    kind: str
    # The moment is counted from the beginning, or from the first write to the project.
    number: int
    writing: bool
    path: str

    @classmethod
    def draw(cls, rng: random.Random) -> "Interruption":
        writing = rng.random() < 0.7
        number = rng.randint(1, 50 if writing else 90)
        return cls(rng.choice(["kill", "kill", "term", "save"]), number, writing, rng.choice(PATHS))

    def act(self, project: Path) -> Callable[[Moment], None]:
        first = 0

        def act(moment: Moment) -> None:
            nonlocal first
            if moment.number == 1:
                cli._interrupt_once()
            if not first and "lich-update" in str(moment.arguments):
                first = moment.number
            at = moment.number - first + 1 if self.writing and first else moment.number
            if at != self.number or (self.writing and not first):
                return
            match self.kind:
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "term":
                    os.kill(os.getpid(), signal.SIGTERM)
                case "save":
                    self._save(project)

        return act

    def _save(self, project: Path) -> None:
        file = project / self.path
        if file.is_dir() or any(above.is_file() or above.is_symlink() for above in file.parents):
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.tmp")
        beside.write_bytes(SAVED)
        beside.replace(file)
        project.with_name("saved").touch()


def check_hostile(lich: Lich, rng: random.Random, project: Tree) -> str:
    options = rng.choice([[], ["--yes"], ["--dry-run"], ["--branch", "next"]])
    index, head = (project.path / ".git/index").read_bytes(), project.git("rev-parse", "HEAD")
    before = snapshot(project.path)
    done = lich("update", project.path, *options)
    assert done.code == 1, done
    assert len(done.err.splitlines()) == 1, done
    assert snapshot(project.path) == before
    assert (project.path / ".git/index").read_bytes() == index
    assert project.git("for-each-ref", "--format=%(objectname)") == head
    return "refused"


def without(files: Files, *paths: str) -> Files:
    return {path: content for path, content in files.items() if path not in paths}


def check_interrupted(lich: Lich, rng: random.Random, project: Tree) -> str:
    before = snapshot(project.path)
    must_stay = lines_of(before)
    interruption = Interruption.draw(rng)
    printed = project.path.with_name("printed")
    act = interruption.act(project.path)
    code = update_with(project.path, act, "--yes", "--json", output=printed)
    report = printed.read_text()
    now = snapshot(project.path)
    if saved := project.path.with_name("saved").exists():
        # The user's own save replaced what was there.
        must_stay -= lines_of({"": before.get(interruption.path, ("", b""))})
        places = [path for path, (_, content) in now.items() if content == SAVED]
        assert len(places) == 1, (code, report)
        assert places[0] in (interruption.path, f"{interruption.path}.saved")
        if code == 1:
            assert without(now, *places) == without(before, interruption.path)
            return "taken back"
    # What is stopped by a signal may be done with all but the tidying.
    if code == 1 and not saved:
        assert now == before, report
    if code not in (0, 3):
        done = lich("update", project.path, "--yes", "--json")
        report = done.out
        if done.code == 1 and "unknown to git" in done.err:
            assert snapshot(project.path) == before
            return "refused"
        # Or the update had come to its end.
        assert done.code in (0, 3) or "no commit holds" in done.err, done
        now = snapshot(project.path)
    assert b"_commit: v2.0.0" in now[".copier-answers.yml"][1], report
    files = json.loads(report)["files"] if report else []
    # Without a report, since it had come to its end, what is not there was accepted.
    removed = {file["path"] for file in files if file["result"] == REMOVED} or (
        set() if files else before.keys() - now.keys()
    )
    kept = b"\n".join(content for _, content in now.values()) + staged(project)
    accepted = lines_of({path: before[path] for path in removed if path in before})
    lost = {line for line in must_stay if line not in kept}
    assert lost <= accepted, (lost, report)
    return "updated" if code in (0, 3) else interruption.kind


def example(lich: Lich, template: Template, folder: Path, number: int) -> str:
    rng = random.Random(f"{SEED} example {number}")
    shutil.copytree(template.project, folder / "app", symlinks=True)
    project = Tree(folder / "app", init=False)
    project.write({".gitignore": IGNORED})
    kinds = [
        "insert",
        "replace",
        "append",
        "cut",
        "delete",
        "rename",
        "add",
        "mode",
        "crlf",
        "ignore",
    ]
    change(project.path, steps(rng, kinds, 8), "user")
    if rng.random() < 0.4:
        other_kind(rng, project.path, "user")
    project.git("add", "--all")
    project.git("commit", "--quiet", "-m", "Mine")
    own = git_s_own(project.path)
    check = check_hostile if template.hostile else check_interrupted
    outcome = check(lich, rng, project)
    assert git_s_own(project.path) == own
    beside = {path.name for path in folder.iterdir() if not path.name.startswith("lich-run-")}
    assert beside <= {"app", "printed", "saved"}
    return outcome


def test_nothing_is_lost_and_nothing_written_outside_whatever_happens(
    lich: Lich, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = Tree(tmp_path / "outside")
    victim.write({"own.txt": "own\n", "deep/own.txt": "own\n"})
    outside = snapshot(tmp_path / "outside")
    outcomes: dict[str, int] = {}
    for number in range(EXAMPLES):
        if number % EXAMPLES_OF_A_TEMPLATE == 0:
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
            template = make_template(lich, tmp_path, number // EXAMPLES_OF_A_TEMPLATE)
        folder = tmp_path / f"example-{number}"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        try:
            outcome = example(lich, template, folder, number)
        except AssertionError as problem:
            problem.add_note(f"LICH_SEED={SEED}, example {number}, in {folder}")
            raise
        finally:
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        assert snapshot(tmp_path / "outside") == outside, number
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        shutil.rmtree(folder)
        if LOG:
            Path(LOG).write_text(f"{number + 1} of {EXAMPLES}, seed {SEED}: {outcomes}\n")
