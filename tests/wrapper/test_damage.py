"""For a project that cannot be updated, one sentence gives the reason and the way out."""

from pathlib import Path

import pytest

from tests.kit.trees import Tree, git
from tests.wrapper.conftest import Lich

ANSWERS = ".copier-answers.yml"


def refused(lich: Lich, project: Tree, *words: str) -> None:
    for option in ([], ["--dry-run"], ["--json"]):
        result = lich("update", project.path, *option)
        assert result.code == 1, result
        assert len(result.err.splitlines()) == 1, result.err
        assert result.out == ""
        for word in words:
            assert word in result.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["holds no .copier-answers.yml", "git checkout HEAD --"]),
        (b"", ["damaged", "git checkout HEAD --"]),
        (b"\xff\x00", ["damaged"]),
        (b"_commit: [", ["damaged"]),
        (b"- a\n", ["damaged"]),
        (b"_commit: v1.0.0\nname: x\n", ["damaged"]),
        (b"<<<<<<< ours\n_commit: v1.0.0\n=======\n_commit: v2\n>>>>>>> theirs\n", ["damaged"]),
        (b"_commit: v1.0.0\n_src_path: ../small\n", ["../small", "--template"]),
        (b"_commit: v1.0.0\n_src_path: /nowhere\n", ["/nowhere", "--template"]),
    ],
)
def test_a_damaged_answers_file_is_reported(
    lich: Lich, project: Tree, content: bytes | None, words: list[str]
) -> None:
    project.write({ANSWERS: content})
    project.commit()
    refused(lich, project, *words)


def test_a_commit_that_the_template_does_not_know_is_reported(
    lich: Lich, small: Tree, project: Tree
) -> None:
    project.write({ANSWERS: project.read(ANSWERS).replace("v1.0.0", "v0.5.0-3-gabcdef0")})
    project.commit()
    refused(lich, project, "v0.5.0-3-gabcdef0", "--template")


def test_an_answer_edited_by_hand_is_reported(lich: Lich, template: Path, tmp_path: Path) -> None:
    lich("init", tmp_path / "x", "--template", template, "-l")
    project = Tree(tmp_path / "x", init=False)
    recorded = project.read(ANSWERS)
    project.write({ANSWERS: recorded.replace("task_runner: temporal", "task_runner: celery")})
    project.commit()
    refused(lich, project, "edited by hand", "lich update -d KEY=VALUE")

    project.write({ANSWERS: "# a remark\n" + recorded})
    project.commit()
    assert lich("update", project.path).code == 0


def test_an_answer_that_the_old_template_does_not_take_is_reported(
    lich: Lich, small: Tree, project: Tree
) -> None:
    small.commit("v2.0.0")
    project.write({ANSWERS: project.read(ANSWERS).replace("temporal", "cron")})
    project.commit()
    refused(lich, project, "'cron'", "temporal, celery, none")


def test_a_project_outside_git_is_reported(lich: Lich, project: Tree) -> None:
    (project.path / ".git").rename(project.path.with_name("git"))
    refused(lich, project, "not in a git repository", "git init")


def test_a_project_without_a_commit_is_reported(lich: Lich, project: Tree) -> None:
    project.git("update-ref", "-d", "HEAD")
    refused(lich, project, "no commit yet")


def test_an_uncommitted_answers_file_is_reported(lich: Lich, small: Tree, project: Tree) -> None:
    small.commit("v2.0.0")
    project.write({".gitignore": f"{ANSWERS}\n"})
    project.git("rm", "--quiet", "--cached", ANSWERS)
    project.git("add", ".gitignore")
    project.git("commit", "--quiet", "-m", "Ignore it")
    refused(lich, project, "is in no commit")


@pytest.mark.parametrize("change", ["edit", "stage", "add", "delete"])
def test_uncommitted_changes_are_reported(
    lich: Lich, small: Tree, project: Tree, change: str
) -> None:
    small.commit("v2.0.0")
    match change:
        case "edit":
            project.write({"plain.txt": "mine\n"})
        case "stage":
            project.write({"plain.txt": "mine\n"})
            project.git("add", "plain.txt")
        case "add":
            project.write({"plain.txt.bak": "mine\n"})
        case "delete":
            project.write({"plain.txt": None})
    before = project.state()
    refused(lich, project, "plain.txt", "commit or stash")
    assert project.state() == before


def test_a_merge_under_way_is_reported(lich: Lich, small: Tree, project: Tree) -> None:
    small.commit("v2.0.0")
    project.git("checkout", "--quiet", "-b", "side")
    project.write({"side.txt": "side\n"})
    project.commit()
    project.git("checkout", "--quiet", "-")
    project.commit()
    project.git("merge", "--no-commit", "--no-ff", "side")
    refused(lich, project, "merge is under way", "git merge --abort")


def test_another_running_git_is_reported(lich: Lich, small: Tree, project: Tree) -> None:
    small.commit("v2.0.0")
    (project.path / ".git/index.lock").touch()
    refused(lich, project, "Another git process", "index.lock")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-d", "nam=x"], ["did you mean name?"]),
        (["-d", "x"], ["KEY=VALUE"]),
        (["-t", "cron"], ["cron", "temporal, celery, none"]),
        (["-r", "v9"], ["v9", "v1.0.0"]),
        (["--template", "/nowhere"], ["/nowhere"]),
    ],
)
def test_a_wrong_option_is_reported(
    lich: Lich, project: Tree, arguments: list[str], words: list[str]
) -> None:
    before = project.state()
    result = lich("update", project.path, *arguments)
    assert result.code == 1
    for word in words:
        assert word in result.err
    assert project.state() == before


def test_options_that_exclude_each_other_are_wrong_usage(lich: Lich, project: Tree) -> None:
    assert lich("update", project.path, "-r", "v1.0.0", "--latest").code == 2


def test_an_old_git_is_reported(
    lich: Lich, small: Tree, project: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.commit("v2.0.0")
    real = git(tmp_path, "--exec-path") + "/git"
    (tmp_path / "git").write_text(
        f'#!/bin/sh\n[ "$1" = version ] && echo git version 2.30.2 && exit\nexec {real} "$@"\n'
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    refused(lich, project, "git 2.38 or newer", "2.30.2")
