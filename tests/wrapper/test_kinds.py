"""Every kind of file may become every other on either side, edited or not, and nothing is lost.

A user's line is then in the work tree, in an unmerged stage, or its removal was accepted by --yes.
"""

import shutil
from itertools import product
from pathlib import Path

import pytest

from tests.kit.trees import Tree, snapshot
from tests.wrapper.conftest import Lich

KINDS = ["file", "program", "link", "folder", "absent"]
LINE = "a line of the user"


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
            (path / "other.txt").write_text("other\n")


def stages(project: Tree) -> list[str]:
    """Return all that the unmerged stages of the index hold."""
    listed = project.git("ls-files", "--unmerged", "-z").split("\0")
    return [
        project.git("cat-file", "blob", entry.split()[1])
        for entry in listed
        if entry and not entry.startswith("160000")
    ]


def holds(project: Tree, line: str) -> bool:
    contents = [content for _, content in snapshot(project.path).values()]
    return any(line.encode() in content for content in contents) or any(
        line in stage for stage in stages(project)
    )


BASE = "one\ntwo\nthree\nfour\nfive\n"


@pytest.fixture
def start(small: Tree, lich: Lich, tmp_path: Path, request: pytest.FixtureRequest) -> Tree:
    """A project made of a template in which `thing` is of the kind that the test gives."""
    config = (small.path / "copier.yml").read_text()
    small.write({"copier.yml": config + "_preserve_symlinks: true\n"})
    make(small.path / "template/thing", request.param, BASE)
    small.commit("v1.1.0")
    assert lich("init", tmp_path / "app", "--template", small.path, "-l").code == 0
    return Tree(tmp_path / "app", init=False)


@pytest.mark.parametrize(
    ("start", "mine", "theirs"), [*product(KINDS, repeat=3)], indirect=["start"]
)
def test_no_pair_of_kinds_loses_a_line_of_the_user(
    lich: Lich, small: Tree, start: Tree, mine: str, theirs: str
) -> None:
    make(start.path / "thing", mine, f"{BASE}{LINE}\n")
    start.commit()
    make(small.path / "template/thing", theirs, "of the template\n" + BASE + "theirs\n")
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")
    before = start.state()

    done = lich("update", start.path)

    assert done.code in (0, 1, 3), done
    if done.code == 1:
        assert start.state() == before
        assert "--yes" in done.err, done
        assert "thing" in done.err, done
        done = lich("update", start.path, "--yes")
        assert done.code in (0, 3), done
    else:
        assert mine == "absent" or holds(start, LINE), done
        # And what the template changed is there too, or was removed by the user.
        assert "removed although you edited it: thing" not in done.out
    assert start.read("plain.txt") == "theirs\n"
    assert not list(start.path.glob(".git/lich-*"))
    # All that needs the user has stages, and nothing else is called a conflict.
    unmerged = start.git("diff", "--name-only", "--diff-filter=U").splitlines()
    assert bool(unmerged) == (done.code == 3), done


@pytest.mark.parametrize(("start", "theirs"), [*product(KINDS, repeat=2)], indirect=["start"])
def test_what_the_user_left_alone_becomes_what_the_template_has(
    lich: Lich, small: Tree, start: Tree, theirs: str, tmp_path: Path
) -> None:
    make(small.path / "template/thing", theirs, "of the template\n")
    small.commit("v2.0.0")

    assert lich("update", start.path).code == 0
    lich("init", tmp_path / "fresh/app", "--template", small.path, "-l")
    assert snapshot(start.path) == snapshot(tmp_path / "fresh/app")


@pytest.mark.parametrize(("start", "mine"), [*product(KINDS, repeat=2)], indirect=["start"])
def test_what_the_template_left_alone_stays_as_the_user_has_it(
    lich: Lich, small: Tree, start: Tree, mine: str
) -> None:
    make(start.path / "thing", mine, f"{BASE}{LINE}\n")
    start.commit()
    before = snapshot(start.path)
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")

    assert lich("update", start.path).code == 0
    changed = {"plain.txt", ".copier-answers.yml"}
    after = snapshot(start.path)
    assert {n: c for n, c in after.items() if n not in changed} == {
        n: c for n, c in before.items() if n not in changed
    }


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
