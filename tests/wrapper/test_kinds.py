"""Every kind of file may become every other on either side, edited or not, and nothing is lost.

A user's line is then in the work tree, in an unmerged stage, or its removal was accepted by --yes.
"""

import json
import shutil
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from tests.kit.trees import Tree, snapshot
from tests.wrapper.conftest import Lich

KINDS = ["file", "program", "link", "folder", "absent"]
UNTOUCHED = "untouched"
LINE = "a line of the user"

Files = dict[str, tuple[str, bytes]]


def make(path: Path, kind: str, text: str) -> None:
    """Make `path` one of the kinds, whatever it was; a link's target stands for its text."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "file" | "program":
            path.write_text(text)
            path.chmod(0o755 if kind == "program" else 0o644)
        case "link":
            path.symlink_to(text.splitlines()[-1])
        case "folder":
            path.mkdir()
            (path / "inside.txt").write_text(text)
            (path / "other.txt").write_text(f"other of {path.name}\n")


def stages(project: Tree) -> list[str]:
    """Return all that the unmerged stages of the index hold."""
    listed = project.git("ls-files", "--unmerged", "-z").split("\0")
    ids = {entry.split()[1] for entry in listed if entry and not entry.startswith("160000")}
    return project.git("show", *sorted(ids)).splitlines() if ids else []


def holds(project: Tree, line: str) -> bool:
    contents = [content for _, content in snapshot(project.path).values()]
    return any(line.encode() in content for content in contents) or any(
        line in stage for stage in stages(project)
    )


@dataclass(frozen=True)
class Thing:
    """What becomes of one file on either side; its lines are like those of no other."""

    mine: str
    theirs: str

    @property
    def name(self) -> str:
        return f"{self.mine}-{self.theirs}"

    def text(self, *more: str) -> str:
        words = ("one", "two", "three", "four", "five", *more)
        return "".join(f"{word} of {self.name}\n" for word in words)

    @property
    def line(self) -> str:
        return f"{LINE} of {self.name}\n".strip()

    def of(self, files: Files) -> Files:
        """Return those of some files which are, or are below, this one."""
        return {
            path: content
            for path, content in files.items()
            if path == f"things/{self.name}" or path.startswith(f"things/{self.name}/")
        }


THINGS = [Thing(*kinds) for kinds in product([*KINDS, UNTOUCHED], repeat=2)]


def change(folder: Path, side: str, *more: str) -> None:
    for thing in THINGS:
        if (kind := getattr(thing, side)) != UNTOUCHED:
            make(folder / "things" / thing.name, kind, thing.text(*more))


@pytest.mark.parametrize("base", KINDS)
def test_no_pair_of_kinds_loses_a_line_of_the_user(
    lich: Lich, small: Tree, tmp_path: Path, base: str
) -> None:
    config = (small.path / "copier.yml").read_text()
    small.write({"copier.yml": config + "_preserve_symlinks: true\n"})
    for thing in THINGS:
        make(small.path / "template/things" / thing.name, base, thing.text())
    small.commit("v1.1.0")
    assert lich("init", tmp_path / "app", "--template", small.path, "-l").code == 0
    project = Tree(tmp_path / "app", init=False)
    change(project.path, "mine", LINE)
    project.commit()
    change(small.path / "template", "theirs", "of the template")
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")
    before, files = project.state(), snapshot(project.path)

    done = lich("update", project.path, "--json")
    removed = {
        file["path"]
        for file in json.loads(done.out)["files"]
        if file["result"] == "removed although you edited it"
    }
    assert bool(removed) == (base != "absent")
    if removed:
        assert done.code == 1
        assert project.state() == before
        assert "--yes" in done.err
        assert all(path in done.err for path in removed)
        done = lich("update", project.path, "--yes", "--json")
    assert done.code == 3, done
    after = snapshot(project.path)
    staged = stages(project)
    lich("init", tmp_path / "fresh/app", "--template", small.path, "-l")
    fresh = snapshot(tmp_path / "fresh/app")
    # All that needs the user has stages, and nothing else is called a conflict.
    unmerged = set(project.git("diff", "--name-only", "--diff-filter=U").splitlines())
    report = json.loads(done.out)["files"]
    assert unmerged == {file["path"] for file in report if file["result"] == "conflicting"}
    for thing in THINGS:
        if thing.mine == UNTOUCHED:
            assert thing.of(after) == thing.of(fresh), thing
            assert not any(thing.name in path for path in unmerged), thing
        elif thing.theirs == UNTOUCHED:
            assert thing.of(after) == thing.of(files), thing
            assert not any(thing.name in path for path in unmerged), thing
        elif thing.mine != "absent":
            accepted = thing.of(dict.fromkeys(removed, ("", b"")))
            found = any(thing.line.encode() in content for _, content in after.values())
            assert found or any(thing.line in line for line in staged) or accepted, thing
    assert after["plain.txt"] == fresh["plain.txt"]
    assert not list(project.path.glob(".git/lich-*"))


def test_a_template_s_change_of_a_file_that_the_user_made_a_link_is_offered(
    lich: Lich, small: Tree, project: Tree
) -> None:
    make(project.path / "plain.txt", "link", "own.txt")
    project.write({"own.txt": "mine\n"})
    project.commit()
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")

    assert lich("update", project.path).code == 3
    assert holds(project, "theirs")
    assert project.read("own.txt") == "mine\n"


@pytest.mark.parametrize("theirs", ["file", "folder"])
def test_a_submodule_of_the_user_stays_where_the_template_adds_something(
    lich: Lich, small: Tree, project: Tree, tmp_path: Path, theirs: str
) -> None:
    library = Tree(tmp_path / "library")
    library.write({"lib.py": f"{LINE}\n"})
    library.commit()
    allowed = ("-c", "protocol.file.allow=always")
    project.git(*allowed, "submodule", "--quiet", "add", str(library.path), "thing")
    project.commit()
    before = snapshot(project.path / "thing")
    make(small.path / "template/thing", theirs, "theirs\n")
    small.commit("v2.0.0")

    done = lich("update", project.path, "--yes")
    assert done.code in (1, 3), done
    assert snapshot(project.path / "thing") == before
    if done.code == 3:
        assert holds(project, "theirs")
