"""The ways in which Copier's own commands lose work, each shown, and what lich does instead.

Every test first lets Copier lose the work in a copy of the project, so that it fails when
Copier no longer does and the caution can go.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import copier
import pytest

from tests.kit.trees import Tree
from tests.wrapper.conftest import UNEDITED, Lich, Update


def by_copier(
    project: Tree, command: Callable[..., object], *arguments: str, **options: object
) -> Tree:
    """Run a command of Copier in a copy of the project."""
    copy = project.path.with_name("by-copier")
    shutil.copytree(project.path, copy, symlinks=True)
    common = {"defaults": True, "overwrite": True, "quiet": True}
    command(*arguments, dst_path=copy, **common, **options)
    return Tree(copy, init=False)


def test_an_edited_file_that_git_ignores_is_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    small.write({"template/.gitignore": ".env\n", "template/.env": "SECRET=\n"})
    small.commit("v1.1.0")
    assert update(project).code == 0
    # As after `copier copy` and `git add`, where git passes over the ignored file.
    project.git("rm", "--quiet", "--cached", "--force", ".env")
    project.git("commit", "--quiet", "-m", "Update")
    project.write({".env": "SECRET=mine\n"})
    small.write({"template/.env": "SECRET=\nMORE=\n"})
    small.commit("v2.0.0")

    assert "mine" not in by_copier(project, copier.run_update).read(".env")
    assert update(project).code == 0
    assert project.read(".env") == "SECRET=mine\n"


def test_an_ignored_file_where_the_template_adds_one_is_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({".gitignore": "local.py\n"})
    project.commit()
    project.write({"local.py": "mine\n"})
    small.write({"template/local.py": "theirs\n"})
    small.commit("v2.0.0")

    assert by_copier(project, copier.run_update).read("local.py") == "theirs\n"
    assert "local.py" in update(project).err
    assert project.read("local.py") == "mine\n"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_git_was_told_to_overlook_is_kept(
    update: Update, small: Tree, project: Tree, flag: str
) -> None:
    project.git("update-index", flag, "plain.txt")
    project.write({"plain.txt": UNEDITED + "mine\n"})
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")

    assert "mine" not in by_copier(project, copier.run_update).read("plain.txt")
    refused = update(project)
    assert refused.code == 1
    assert "plain.txt" in refused.err
    assert project.read("plain.txt") == UNEDITED + "mine\n"


def test_an_untracked_file_that_git_was_told_not_to_show_is_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    project.git("config", "status.showUntrackedFiles", "no")
    project.write({"added.txt": "mine\n"})
    small.write({"template/added.txt": "theirs\n"})
    small.commit("v2.0.0")

    assert "mine" not in by_copier(project, copier.run_update).read("added.txt")
    assert "added.txt" in update(project).err
    assert project.read("added.txt") == "mine\n"


def test_an_uncommitted_edit_is_kept(update: Update, small: Tree, project: Tree) -> None:
    project.write({"plain.txt": "mine\n"})
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")

    assert by_copier(project, copier.run_recopy).read("plain.txt") == "theirs\n"
    assert "changes that no commit holds (plain.txt)" in update(project).err
    assert project.read("plain.txt") == "mine\n"


def test_a_folder_that_is_not_empty_is_left_alone(lich: Lich, small: Tree, project: Tree) -> None:
    project.write({"plain.txt": "mine\n"})

    lost = by_copier(project, copier.run_copy, str(small.path))
    assert lost.read("plain.txt") == UNEDITED
    refused = lich("init", project.path, "--template", small.path, "-l")
    assert "is not empty" in refused.err
    assert project.read("plain.txt") == "mine\n"


def test_an_edited_binary_is_kept(update: Update, small: Tree, project: Tree) -> None:
    small.write({"template/logo.png": bytes(range(256))})
    small.commit("v1.1.0")
    assert update(project).code == 0
    project.write({"logo.png": bytes(range(255, -1, -1))})
    project.commit()
    small.write({"template/plain.txt": "theirs\n"})
    small.commit("v2.0.0")

    assert (by_copier(project, copier.run_update).path / "logo.png").read_bytes() == bytes(
        range(256)
    )
    assert update(project).code == 0
    assert (project.path / "logo.png").read_bytes() == bytes(range(255, -1, -1))


def test_a_binary_that_both_changed_is_a_conflict_with_both_in_the_index(
    update: Update, small: Tree, project: Tree
) -> None:
    small.write({"template/logo.png": bytes(range(256))})
    small.commit("v1.1.0")
    update(project)
    project.write({"logo.png": b"\0mine"})
    project.commit()
    small.write({"template/logo.png": b"\0theirs"})
    small.commit("v2.0.0")

    assert update(project).code == 3
    assert (project.path / "logo.png").read_bytes() == b"\0mine"
    assert project.git("show", ":3:logo.png") == "\0theirs"


def test_an_edited_file_that_the_template_removed_is_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"plain.txt": UNEDITED + "mine\n"})
    project.commit()
    small.write({"template/plain.txt": None})
    small.commit("v2.0.0")

    assert not (by_copier(project, copier.run_update).path / "plain.txt").exists()
    refused = update(project)
    assert refused.code == 1
    assert "plain.txt" in refused.err
    assert project.read("plain.txt") == UNEDITED + "mine\n"


def test_the_edits_of_a_file_that_the_template_renamed_are_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"plain.txt": UNEDITED + "mine\n"})
    project.commit()
    small.git("mv", "template/plain.txt", "template/renamed.txt")
    small.commit("v2.0.0")

    assert by_copier(project, copier.run_update).read("renamed.txt") == UNEDITED
    done = update(project)
    assert done.code == 0
    assert project.read("renamed.txt") == UNEDITED + "mine\n"
    assert not (project.path / "plain.txt").exists()
    assert "renamed plain.txt to renamed.txt" in done.report["hints"][0]


def test_an_edited_file_of_the_old_runner_is_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"temporal.txt": "mine\n"})
    project.commit()

    lost = by_copier(
        project,
        copier.run_update,
        data={"task_runner": "celery"},
        vcs_ref=copier.VcsRef.CURRENT,
    )
    assert not (lost.path / "temporal.txt").exists()
    refused = update(project, "-t", "celery")
    assert refused.files("removed although you edited it") == ["temporal.txt"]
    assert project.read("temporal.txt") == "mine\n"


def test_an_edit_that_apply_whitespace_refuses_is_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    project.git("config", "apply.whitespace", "error")
    project.write({"plain.txt": UNEDITED + "mine \n"})
    project.commit()
    small.write({"template/plain.txt": "zero\n" + UNEDITED})
    small.commit("v2.0.0")

    assert "mine" not in by_copier(project, copier.run_update).read("plain.txt")
    assert update(project).code == 0
    assert project.read("plain.txt") == "zero\n" + UNEDITED + "mine \n"


def test_a_line_that_both_changed_is_a_conflict(update: Update, small: Tree, project: Tree) -> None:
    project.write({"plain.txt": "mine\ntwo\nthree\n"})
    project.commit()
    small.write({"template/plain.txt": "theirs\ntwo\nthree\n"})
    small.commit("v2.0.0")

    assert "mine" not in by_copier(project, copier.run_update, conflict="rej").read("plain.txt")
    done = update(project)
    assert done.code == 3
    assert "mine\n" in project.read("plain.txt")
    assert "theirs\n" in project.read("plain.txt")


def test_an_interrupt_in_the_middle_changes_nothing(
    small: Tree, project: Tree, tmp_path: Path
) -> None:
    project.write({"plain.txt": "mine\ntwo\nthree\n"})
    project.commit()
    small.write({"template/plain.txt": "one\ntwo\n3\n"})
    small.commit("v2.0.0")
    before = project.state()
    # A git that interrupts the process that runs it, just before the user's edits come back, or
    # just before the new files come.
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(
        '#!/bin/sh\nfor word; do case "$word" in apply|checkout-index) kill -INT $PPID; sleep 1;; '
        f'esac; done\nexec {real} "$@"\n'
    )
    (tmp_path / "bin/git").chmod(0o755)

    lost = Tree(tmp_path / "by-copier", init=False)
    shutil.copytree(project.path, lost.path, dirs_exist_ok=True)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    for tree, module in ((lost, "copier"), (project, "lich_wrapper")):
        done = subprocess.run(
            [sys.executable, "-m", module, "update", *(["-l"] if tree is lost else [])],
            cwd=tree.path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "mine" not in lost.read("plain.txt")
    assert "_commit: v2.0.0" in lost.read(".copier-answers.yml")
    assert done.returncode == 130, done.stderr
    assert project.state() == before
    assert list(project.path.glob(".git/lich-*")) == []
