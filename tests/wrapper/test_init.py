"""What `lich init` makes, and what it prints."""

import fcntl
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import RELEASE
from tests.kit.processes import run
from tests.kit.trees import Tree, git, snapshot
from tests.wrapper.conftest import Lich


def copier_copy(source: Path, destination: Path, *arguments: str) -> None:
    run(sys.executable, "-m", "copier", "copy", "--quiet", *arguments, source, destination)


@pytest.mark.parametrize(
    "answers",
    [
        ["task_runner=temporal"],
        ["task_runner=celery", "celery_broker=rabbitmq", "docs_language=fa"],
        ["task_runner=none", 'project_name=پروژه "من"', "description=a: b # {{ 7*7 }} " + "x" * 99],
    ],
)
def test_a_project_is_the_one_that_copier_makes_byte_for_byte(
    lich: Lich, template: Path, tmp_path: Path, answers: list[str]
) -> None:
    data = [word for answer in answers for word in ("-d", answer)]
    result = lich("init", tmp_path / "lich" / "My App", "--template", template, "-l", *data)
    copier_copy(template, tmp_path / "copier" / "My App", "-l", *data)

    assert result.code == 0, result.err
    made = snapshot(tmp_path / "lich" / "My App")
    assert made == snapshot(tmp_path / "copier" / "My App")
    assert f"_commit: {RELEASE}".encode() in made[".copier-answers.yml"][1]


def test_a_project_from_a_commit_without_a_tag_is_the_one_that_copier_makes(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    small.write({"template/plain.txt": "newer\n", "template/run.sh": "#!/bin/sh\n"})
    (small.path / "template/run.sh").chmod(0o755)
    small.commit()
    common = ["-l", "-r", "HEAD"]
    assert lich("init", tmp_path / "a/x", "--template", small.path, *common).code == 0
    copier_copy(small.path, tmp_path / "b/x", *common)

    assert snapshot(tmp_path / "a/x") == snapshot(tmp_path / "b/x")
    assert "_commit: v1.0.0-1-g" in (tmp_path / "a/x/.copier-answers.yml").read_text()


def test_files_that_name_their_origin_are_the_ones_that_copier_makes(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    small.write({"template/origin.jinja": "\n{{ _src_path }} {{ _commit }}{# _copier_answers #}\n"})
    small.write({"template/all.json.jinja": "{{ _copier_answers | to_json }}"})
    small.commit("v1.1.0")
    assert lich("init", tmp_path / "a/x", "--template", small.path, "-l").code == 0
    copier_copy(small.path, tmp_path / "b/x", "-l")

    assert snapshot(tmp_path / "a/x") == snapshot(tmp_path / "b/x")


def test_folders_that_a_loop_makes_are_the_ones_that_copier_makes(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    loop = "{% yield x from ['a', 'b'] %}{{ x }}{% endyield %}"
    small.write({f"template/{loop}/{loop.replace('x', 'y')}.txt.jinja": "{{ x }} {{ y }}"})
    small.write({f"template/{loop}/{loop.replace('x', 'z')}.txt.jinja": "{{ x }} {{ z }}"})
    small.commit("v1.1.0")
    assert lich("init", tmp_path / "a/x", "--template", small.path, "-l").code == 0
    copier_copy(small.path, tmp_path / "b/x", "-l")

    assert snapshot(tmp_path / "a/x") == snapshot(tmp_path / "b/x")
    assert (tmp_path / "a/x/b/a.txt").read_text() == "b a"


@pytest.mark.parametrize("annotated", [True, False])
def test_a_release_is_recorded_by_the_name_that_git_gives_its_commit(
    lich: Lich, small: Tree, tmp_path: Path, annotated: bool
) -> None:
    small.git("tag", *(["-a", "-m", "Of the same commit"] if annotated else []), "v1.0.1")
    named = small.git("describe", "--tags")
    assert lich("init", tmp_path / "app", "--template", small.path, "-l").code == 0

    assert f"_commit: {named}\n" in (tmp_path / "app/.copier-answers.yml").read_text()


def test_the_newest_release_is_taken_unless_a_version_is_asked_for(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    for tag in ("v1.9.0", "v1.10.0", "v2.0.0rc1"):
        small.write({"template/plain.txt": f"{tag}\n"})
        small.commit(tag)

    lich("init", tmp_path / "newest", "--template", small.path, "-l")
    lich("init", tmp_path / "asked", "--template", small.path, "-l", "-r", "v1.9.0")

    assert (tmp_path / "newest/plain.txt").read_text() == "v1.10.0\n"
    assert (tmp_path / "asked/plain.txt").read_text() == "v1.9.0\n"


def test_a_template_without_a_release_gives_its_last_commit(
    lich: Lich, tmp_path: Path, small: Tree
) -> None:
    small.git("tag", "--delete", "v1.0.0")
    assert lich("init", tmp_path / "x", "--template", small.path, "-l").code == 0
    recorded = yaml.safe_load((tmp_path / "x/.copier-answers.yml").read_text())
    assert recorded["_commit"] == small.git("rev-parse", "--short", "HEAD")


def test_uncommitted_changes_are_rendered_and_reported(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    small.git("tag", "--delete", "v1.0.0")
    small.write({"template/plain.txt": "draft\n", "template/name.txt.jinja": None})
    result = lich("init", tmp_path / "x", "--template", small.path, "-l")

    assert (tmp_path / "x/plain.txt").read_text() == "draft\n"
    assert not (tmp_path / "x/name.txt").exists()
    assert "changes that no commit holds" in result.err
    recorded = yaml.safe_load((tmp_path / "x/.copier-answers.yml").read_text())
    assert recorded["_commit"] == small.git("rev-parse", "--short", "HEAD")


def test_the_printed_command_makes_the_same_project_again(
    lich: Lich, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["-d", 'project_name=It\'s "mine"', "-d", "description=$HOME `ls` ; \\ *"]
    result = lich("init", tmp_path / "x", "--template", template, "-t", "celery", "-l", *data)
    made = snapshot(tmp_path / "x")
    command = result.out.strip().splitlines()[-1].strip()
    (tmp_path / "x").rename(tmp_path / "first")

    words = shlex.split(command)
    assert words[:2] == ["lich", "init"]
    assert lich(*words[1:]).code == 0
    assert snapshot(tmp_path / "x") == made


def test_at_most_four_next_steps_are_given(lich: Lich, small: Tree, tmp_path: Path) -> None:
    result = lich("init", tmp_path / "new app", "--template", small.path, "-l")
    steps = result.out.split("Next:\n")[1].split("\n\n")[0].splitlines()
    assert steps[0] == f"  cd '{tmp_path}/new app'"
    assert 1 < len(steps) <= 4


def test_a_project_starts_with_one_commit_of_everything(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    small.write({"template/.gitignore": "*.txt\n"})
    small.commit("v1.1.0")
    lich("init", tmp_path / "x", "--template", small.path, "-l")

    assert git(tmp_path / "x", "status", "--porcelain", "--ignored") == ""
    assert git(tmp_path / "x", "rev-list", "--count", "HEAD") == "1"
    assert git(tmp_path / "x", "log", "-1", "--format=%an <%ae>") == "Test <test@example.com>"
    assert set(git(tmp_path / "x", "ls-files").split()) == set(snapshot(tmp_path / "x"))


def test_git_settings_of_the_user_cannot_break_the_first_commit(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "commit-msg", "post-checkout", "post-index-change"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[user]\n\tname = N\n\temail = e@example.com\n\tsigningKey = none\n"
        f"[core]\n\thooksPath = {hooks}\n\tautocrlf = true\n\tsafecrlf = true\n"
        f"\texcludesFile = {tmp_path}/excludes\n"
        "[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = false\n[init]\n\tdefaultBranch = trunk\n"
    )
    (tmp_path / "excludes").write_text("*.txt\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    result = lich("init", tmp_path / "x", "--template", small.path, "-l")

    assert result.code == 0, result.err
    assert "plain.txt" in git(tmp_path / "x", "ls-files")
    assert git(tmp_path / "x", "branch", "--show-current") == "trunk"


def test_a_first_commit_is_made_without_a_git_identity(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    result = lich("init", tmp_path / "x", "--template", small.path, "-l")

    assert result.code == 0, result.err
    assert "git does not know you" in result.err
    assert git(tmp_path / "x", "log", "-1", "--format=%an") == "lich"
    assert (tmp_path / "gitconfig").read_text() == ""


def test_git_variables_of_a_surrounding_hook_change_nothing(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Tree(tmp_path / "other")
    other.write({"a": "a\n"})
    before = other.commit()
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git/index"))
    result = lich("init", tmp_path / "x", "--template", small.path, "-l")
    monkeypatch.undo()

    assert result.code == 0, result.err
    assert git(tmp_path / "x", "rev-list", "--count", "HEAD") == "1"
    assert other.git("rev-parse", "HEAD") == before
    assert other.git("status", "--porcelain") == ""


def test_inside_a_repository_no_other_is_made(lich: Lich, small: Tree, tmp_path: Path) -> None:
    around = Tree(tmp_path / "around")
    around.write({".gitignore": "/scratch/\n"})
    around.commit()
    lich("init", around.path / "part", "--template", small.path, "-l")
    lich("init", around.path / "scratch/ignored", "--template", small.path, "-l")
    lich("init", tmp_path / "alone", "--template", small.path, "-l", "--no-git")

    assert not (around.path / "part/.git").exists()
    assert (around.path / "scratch/ignored/.git").exists()
    assert not (tmp_path / "alone/.git").exists()


def test_missing_parents_are_made(lich: Lich, small: Tree, tmp_path: Path) -> None:
    assert lich("init", tmp_path / "a/b/c", "--template", small.path, "-l").code == 0
    assert (tmp_path / "a/b/c/plain.txt").exists()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["c"]


def test_an_empty_folder_is_filled_even_as_the_current_one(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = lich("init", "--template", small.path, "-l")

    assert result.code == 0, result.err
    assert (Path.cwd() / "plain.txt").exists()
    assert git(Path.cwd(), "status", "--porcelain") == ""
    assert {path.name for path in Path.cwd().iterdir()} >= {".git", "plain.txt"}
    assert not list(Path.cwd().glob(".lich-*"))


def test_a_dry_run_shows_the_tree_and_writes_nothing(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    before = snapshot(tmp_path)
    result = lich("init", tmp_path / "a/x", "--template", small.path, "-l", "--dry-run")

    assert result.code == 0
    assert "├── name.txt" in result.out
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "a").exists()


def test_a_dry_run_prints_the_json_of_the_run_that_follows(
    lich: Lich, template: Path, tmp_path: Path
) -> None:
    arguments = ["init", tmp_path / "x", "--template", template, "-t", "none", "-l", "--json"]
    preview = json.loads(lich(*arguments, "--dry-run").out)
    assert not (tmp_path / "x").exists()
    done = json.loads(lich(*arguments).out)

    assert (preview["dry_run"], done["dry_run"]) == (True, False)
    assert done["commit"] == git(tmp_path / "x", "rev-parse", "HEAD")
    for same in ("destination", "template", "answers", "files", "command"):
        assert preview[same] == done[same]
    assert done["files"] == sorted(snapshot(tmp_path / "x"))
    assert done["answers"]["task_runner"] == "none"


def test_answers_come_from_a_file_and_the_command_line_wins(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    file = tmp_path / "answers.yml"
    file.write_text("_commit: v0\nname: from file\ntask_runner: celery\n")
    lich("init", tmp_path / "x", "--template", small.path, "--data-file", file, "-d", "name=mine")

    answers = (tmp_path / "x/.copier-answers.yml").read_text()
    assert "name: mine\n" in answers
    assert "task_runner: celery\n" in answers


def test_an_answer_without_effect_is_reported(lich: Lich, template: Path, tmp_path: Path) -> None:
    data = ["-t", "temporal", "-d", "celery_broker=rabbitmq"]
    result = lich("init", tmp_path / "x", "--template", template, "-l", *data)
    assert "celery_broker was not used" in result.err


def test_what_a_killed_run_left_behind_is_removed_and_what_a_running_one_uses_is_not(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "x").mkdir()
    left = [temporary / "lich-run-left", tmp_path / "x/.lich-left"]
    used = [temporary / "lich-run-used", temporary / "lich-run-new"]
    for folder in left + used:
        (folder / "below").mkdir(parents=True)
        if folder != used[1]:
            os.utime(folder, (0, 0))
    lock = os.open(used[0], os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    result = lich("init", tmp_path / "x", "--template", small.path, "-l")
    os.close(lock)

    assert result.code == 0, result.err
    assert sorted(temporary.iterdir()) == sorted(used)
    assert not left[1].exists()
    assert (tmp_path / "x/plain.txt").exists()
