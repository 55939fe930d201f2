"""What `lich update` makes of a project whose owner has worked on it."""

import json
import subprocess
import sys
from pathlib import Path

import copier
import pytest

from tests.kit.trees import Tree, git, snapshot
from tests.wrapper.conftest import UNEDITED, Lich, Update


def answers(project: Tree) -> str:
    return project.read(".copier-answers.yml")


def test_an_untouched_project_becomes_a_fresh_one(
    lich: Lich, update: Update, small: Tree, project: Tree, tmp_path: Path
) -> None:
    small.write(
        {
            "template/plain.txt": "one\n2\nthree\n",
            "template/new/deep.txt": "new\n",
            "template/name.txt.jinja": None,
            "template/{{ name }}.md.jinja": "# {{ name }}\n",
        }
    )
    small.git("mv", "template/{{ task_runner }}.txt", "template/runner.txt")
    small.commit("v2.0.0")

    done = update(project)

    assert done.code == 0
    assert (done.report["from"], done.report["to"]) == ("v1.0.0", "v2.0.0")
    lich("init", tmp_path / "fresh/project", "--template", small.path, "-l")
    assert snapshot(project.path) == snapshot(tmp_path / "fresh/project")
    assert done.files("new") == ["new/deep.txt", "runner.txt", "x.md"]
    assert done.files("removed") == ["name.txt", "temporal.txt"]
    assert done.files("changed") == [".copier-answers.yml", "plain.txt"]


def test_edits_on_both_sides_are_merged(update: Update, small: Tree, project: Tree) -> None:
    project.write({"plain.txt": "ONE\ntwo\nthree\n", "mine.txt": "mine\n"})
    project.commit()
    small.write({"template/plain.txt": "one\ntwo\nthree\nfour\n"})
    small.commit("v2.0.0")

    assert update(project).code == 0
    assert project.read("plain.txt") == "ONE\ntwo\nthree\nfour\n"
    assert project.read("mine.txt") == "mine\n"


def test_the_result_is_staged_and_one_command_undoes_it(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"plain.txt": "ONE\ntwo\nthree\n", ".gitignore": "ignored\n", "ignored": "i\n"})
    project.git("add", ".gitignore", "plain.txt")
    project.git("commit", "--quiet", "-m", "Mine")
    before = project.state()
    small.write(
        {
            "template/plain.txt": "Eins\ntwo\nthree\n",
            "template/new/file.txt": "new\n",
            "template/name.txt.jinja": None,
        }
    )
    small.commit("v2.0.0")

    done = update(project)

    assert done.code == 3
    assert project.git("status", "--porcelain").splitlines() == [
        "M  .copier-answers.yml",
        "D  name.txt",
        "A  new/file.txt",
        "UU plain.txt",
    ]
    command = done.report["undo"]
    subprocess.run(command, shell=True, check=True, cwd="/")
    assert project.state() == before
    assert not (project.path / "new").exists()


def test_a_conflict_is_left_to_the_user_as_git_knows_it(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"plain.txt": "mine\ntwo\nthree\n"})
    project.commit()
    small.write({"template/plain.txt": "theirs\ntwo\nthree\n"})
    small.commit("v2.0.0")

    done = update(project)

    assert (done.code, done.report["status"]) == (3, "conflicts")
    assert done.files("conflicting") == ["plain.txt"]
    assert project.read("plain.txt") == (
        "<<<<<<< your-project\nmine\n=======\ntheirs\n>>>>>>> template-v2.0.0\ntwo\nthree\n"
    )
    stages = [line.split()[2] for line in project.git("ls-files", "-u").splitlines()]
    assert stages == ["1", "2", "3"]
    project.write({"plain.txt": "both\ntwo\nthree\n"})
    project.git("commit", "--quiet", "--all", "-m", "Update")
    assert update(project).report["status"] == "up to date"


def test_a_second_update_has_nothing_to_do(update: Update, small: Tree, project: Tree) -> None:
    small.write({"template/plain.txt": "2\n"})
    small.commit("v2.0.0")
    assert update(project).code == 0
    project.commit()

    before = project.state()
    assert update(project).report["status"] == "up to date"
    assert project.state() == before


def test_a_deleted_file_stays_deleted_and_that_is_told(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"plain.txt": None, "name.txt": None})
    project.commit()
    small.write({"template/plain.txt": "one\n2\nthree\n"})
    small.commit("v2.0.0")

    done = update(project)

    assert done.code == 0
    assert done.files("kept as you have it") == ["plain.txt"]
    assert not (project.path / "plain.txt").exists()
    assert not (project.path / "name.txt").exists()


def test_a_deleted_file_that_the_template_renames_stays_deleted(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"plain.txt": None})
    project.commit()
    small.git("mv", "template/plain.txt", "template/renamed.txt")
    small.commit("v2.0.0")

    assert update(project).code == 0
    assert not (project.path / "renamed.txt").exists()


def test_a_change_of_the_template_follows_a_file_that_the_user_renames(
    update: Update, small: Tree, project: Tree
) -> None:
    project.git("mv", "plain.txt", "mine.txt")
    project.commit()
    small.write({"template/plain.txt": UNEDITED + "four\n"})
    small.commit("v2.0.0")

    assert update(project).code == 0
    assert project.read("mine.txt") == UNEDITED + "four\n"
    assert not (project.path / "plain.txt").exists()


def test_the_user_s_file_stays_in_a_folder_that_the_template_renames(
    update: Update, small: Tree, project: Tree
) -> None:
    small.write({f"template/old/{n}.txt": f"{n}\n" * 9 for n in range(3)})
    small.commit("v1.1.0")
    update(project)
    project.write({"old/mine.txt": "mine\n"})
    project.commit()
    small.git("mv", "template/old", "template/new")
    small.commit("v2.0.0")

    assert update(project).code == 0
    assert sorted(path.name for path in (project.path / "old").iterdir()) == ["mine.txt"]


def test_an_edited_file_is_removed_with_consent_only(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"plain.txt": "mine\n"})
    project.commit()
    small.write({"template/plain.txt": None})
    small.commit("v2.0.0")
    before = project.state()

    refused = update(project)
    assert refused.code == 1
    assert refused.files("removed although you edited it") == ["plain.txt"]
    assert "--yes" in refused.err
    assert project.state() == before

    assert update(project, "--yes").code == 0
    assert not (project.path / "plain.txt").exists()
    assert project.git("show", "HEAD:plain.txt") == "mine"


def test_an_answer_is_changed_at_the_present_version(
    update: Update, small: Tree, project: Tree
) -> None:
    small.write({"template/plain.txt": "newer\n"})
    small.commit("v2.0.0")

    done = update(project, "-d", "name=New name")

    assert done.code == 0
    assert done.report["answers"] == {"name": ["x", "New name"]}
    assert project.read("name.txt") == "New name\n"
    assert project.read("plain.txt") == UNEDITED
    assert "_commit: v1.0.0\n" in answers(project)


@pytest.mark.parametrize("option", [["--latest"], ["-r", "v2.0.0"]])
def test_an_answer_and_the_version_change_together_if_asked(
    update: Update, small: Tree, project: Tree, option: list[str]
) -> None:
    small.write({"template/plain.txt": "newer\n"})
    small.commit("v2.0.0")

    assert update(project, "-t", "celery", *option).code == 0
    assert project.read("plain.txt") == "newer\n"
    assert (project.path / "celery.txt").exists()
    assert not (project.path / "temporal.txt").exists()
    assert "_commit: v2.0.0\n" in answers(project)


def test_a_switch_does_not_carry_edits_into_the_other_runner_s_files(
    update: Update, small: Tree, project: Tree
) -> None:
    project.write({"temporal.txt": "of one runner\nmine\n", "own.txt": "own\n"})
    project.commit()
    before = project.state()

    assert update(project, "-t", "celery").code == 1
    assert project.state() == before
    done = update(project, "-t", "celery", "--yes")
    assert done.files("removed although you edited it") == ["temporal.txt"]
    assert project.read("celery.txt") == "of one runner\n"
    assert project.read("own.txt") == "own\n"


def test_a_switch_names_the_jobs_that_only_the_old_runner_can_run(
    lich: Lich, update: Update, small: Tree, project: Tree
) -> None:
    native = "from celery import shared_task\n\n\n@shared_task\ndef sample(): ...\n"
    small.write({"template/{% if task_runner == 'celery' %}tasks.py{% endif %}": native})
    small.commit("v2.0.0")
    assert update(project, "-t", "celery", "--latest").code == 0
    project.commit()
    own = native + "\n\n@shared_task(name='bill')\ndef send_bill(): ...\n"
    project.write({"tasks.py": own, "more.py": own.replace("sample", "other"), "broken.py": "def"})
    project.commit()

    preview = lich("update", project.path, "-t", "none", "--dry-run", "--json")
    hints = json.loads(preview.out)["hints"]
    assert [hint.partition(": write it")[0] for hint in hints] == [
        "more.py: no implementation of other, send_bill with task_runner none",
        "tasks.py: no implementation of send_bill with task_runner none",
    ]


def test_going_to_another_runner_and_back_restores_the_tree(
    update: Update, small: Tree, project: Tree
) -> None:
    before = snapshot(project.path)
    for runner in ("celery", "none", "temporal"):
        assert update(project, "-t", runner).code == 0
        project.commit()
    assert snapshot(project.path) == before


def test_an_older_version_is_gone_to_only_if_asked_for(
    update: Update, small: Tree, project: Tree
) -> None:
    small.write({"template/plain.txt": "newer\n"})
    small.commit("v2.0.0rc1")
    update(project, "-r", "v2.0.0rc1")
    project.commit()

    assert update(project).report["status"] == "up to date"
    assert update(project, "-r", "v1.0.0").code == 0
    assert project.read("plain.txt") == UNEDITED


def test_a_project_past_the_newest_release_is_up_to_date(
    lich: Lich, update: Update, small: Tree, project: Tree
) -> None:
    small.write({"template/plain.txt": "newer\n"})
    small.commit()
    assert update(project, "-r", "HEAD").code == 0
    project.commit()
    assert "_commit: v1.0.0-1-g" in answers(project)

    assert update(project).report["status"] == "up to date"
    assert lich("update", project.path, "--check").code == 0


def test_a_check_reports_by_its_exit_code(lich: Lich, small: Tree, project: Tree) -> None:
    none = lich("update", project.path, "--check", "--json")
    small.commit("v1.1.0")
    small.commit("v2.0.0a1")
    some = lich("update", project.path, "--check", "--json")

    assert (none.code, json.loads(none.out)["update"]) == (0, False)
    assert (some.code, json.loads(some.out)["newest"]) == (4, "v1.1.0")
    assert "v1.1.0 is out" in lich("update", project.path, "--check").out


def test_a_new_question_takes_its_default_and_is_reported(
    update: Update, small: Tree, project: Tree
) -> None:
    config = (small.path / "copier.yml").read_text()
    small.write({"copier.yml": config + "colour: {type: str, default: 'blue {{ name }}'}\n"})
    small.commit("v2.0.0")

    done = update(project)
    assert "colour: blue x\n" in answers(project)
    assert "New question colour" in done.report["hints"][0]


def test_a_renamed_question_keeps_its_answer_by_its_default(
    update: Update, small: Tree, project: Tree
) -> None:
    update(project, "-d", "name=Mine")
    project.commit()
    config = (small.path / "copier.yml").read_text()
    config = config.replace(
        "name: {type: str, default: x}",
        "title: {type: str, default: \"{{ name | default('x') }}\"}",
    )
    small.write({"copier.yml": config, "template/name.txt.jinja": "{{ title }}\n"})
    small.commit("v2.0.0")

    done = update(project)
    assert project.read("name.txt") == "Mine\n"
    assert "title: Mine\n" in answers(project)
    assert any("no longer asks for name" in hint for hint in done.report["hints"])


@pytest.mark.parametrize("by", ["lich", "copier"])
def test_a_choice_that_is_gone_is_carried_over_under_a_new_name(
    update: Update, small: Tree, project: Tree, by: str
) -> None:
    config = (small.path / "copier.yml").read_text()
    config = config.replace(
        "task_runner: {type: str, choices: [temporal, celery, none], default: temporal}",
        "runner:\n  type: str\n  choices: [durable, celery]\n"
        "  default: \"{{ {'temporal': 'durable'}.get(task_runner, 'celery') }}\"",
    )
    small.git("mv", "template/{{ task_runner }}.txt", "template/{{ runner }}.txt")
    small.write({"copier.yml": config})
    small.commit("v2.0.0")

    if by == "lich":
        assert update(project).code == 0
    else:
        copier.run_update(project.path, defaults=True, overwrite=True, quiet=True)
    assert "runner: durable\n" in answers(project)
    assert "task_runner" not in answers(project)
    assert (project.path / "durable.txt").exists()


def test_a_choice_that_is_gone_asks_for_another(update: Update, small: Tree, project: Tree) -> None:
    config = (small.path / "copier.yml").read_text()
    small.write({"copier.yml": config.replace("[temporal, celery, none]", "[celery, none]")})
    small.commit("v2.0.0")
    before = project.state()

    refused = update(project)
    assert refused.code == 1
    assert "task_runner is 'temporal'" in refused.err
    assert "celery, none" in refused.err
    assert project.state() == before
    assert update(project, "-t", "none", "--latest").code == 0


def test_an_answer_that_a_new_validator_refuses_is_reported(
    update: Update, small: Tree, project: Tree
) -> None:
    config = (small.path / "copier.yml").read_text()
    validated = (
        "name: {type: str, default: long, validator: \"{% if name == 'x' %}No.{% endif %}\"}"
    )
    small.write({"copier.yml": config.replace("name: {type: str, default: x}", validated)})
    small.commit("v2.0.0")

    refused = update(project)
    assert refused.code == 1
    assert "name is 'x'" in refused.err
    assert update(project, "--latest", "-d", "name=y").code == 0


def test_a_moved_template_is_followed(
    lich: Lich, update: Update, small: Tree, project: Tree, tmp_path: Path
) -> None:
    small.write({"template/plain.txt": "newer\n"})
    small.commit("v2.0.0")
    small.path.rename(tmp_path / "moved")

    refused = lich("update", project.path)
    assert refused.code == 1
    assert "--template" in refused.err
    assert update(project, "--template", tmp_path / "moved").code == 0
    assert f"_src_path: {tmp_path}/moved\n" in answers(project)
    assert project.read("plain.txt") == "newer\n"


def test_a_template_can_move_without_a_new_version(
    update: Update, small: Tree, project: Tree, tmp_path: Path
) -> None:
    small.path.rename(tmp_path / "moved")
    done = update(project, "--template", tmp_path / "moved")
    assert done.files("changed") == [".copier-answers.yml"]
    assert f"_src_path: {tmp_path}/moved\n" in answers(project)


def test_release_notes_name_what_concerns_the_project(
    update: Update, small: Tree, project: Tree
) -> None:
    small.write(
        {
            "CHANGELOG.md": """\
                # Changelog

                ## v3.0.0
                - For later.

                ## v2.0.0 - 2026-05-01
                - For everybody.
                - **Temporal:** Workers drain.
                  In peace.
                - **Celery:** Beat is gone.
                  Really.
                - Celery, None: No trace.
                - Note: this is for all.

                ### Celery
                Nothing for you.

                ### Moved files
                One.

                ## v1.0.0
                - Old.
                """
        }
    )
    small.commit("v2.0.0")

    [notes] = update(project).report["notes"]
    assert notes["version"] == "v2.0.0".removeprefix("v")
    assert notes["text"] == (
        "- For everybody.\n- **Temporal:** Workers drain.\n  In peace.\n- Note: this is for all.\n\n### Moved files\nOne."
    )


def test_a_project_in_a_part_of_a_repository_is_updated_there_only(
    lich: Lich, update: Update, small: Tree, tmp_path: Path
) -> None:
    around = Tree(tmp_path / "around")
    around.write({"plain.txt": "not the project's\n", "other/plain.txt": "other\n"})
    around.commit()
    lich("init", around.path / "apps/یک", "--template", small.path, "-l")
    around.commit()
    part = Tree(around.path / "apps/یک", init=False)
    part.write({"plain.txt": UNEDITED + "mine\n", "name.txt": "mine\n"})
    part.commit()
    around.write({"other/plain.txt": "not committed\n"})
    around.git("add", "other/plain.txt")
    small.write({"template/plain.txt": "zero\n" + UNEDITED, "template/name.txt.jinja": "theirs\n"})
    small.git("mv", "template/{{ task_runner }}.txt", "template/runner.txt")
    small.commit("v2.0.0")

    assert update(part).code == 3
    assert part.read("plain.txt") == "zero\n" + UNEDITED + "mine\n"
    assert around.read("plain.txt") == "not the project's\n"
    assert around.read("other/plain.txt") == "not committed\n"
    assert (
        around.git("diff", "--name-only", "--diff-filter=U")
        == around.git("ls-files", "apps/*/name.txt").splitlines()[0]
    )
    part.git("restore", "--source=HEAD", "--staged", "--worktree", ".")
    assert around.git("status", "--porcelain") == "M  other/plain.txt"


def test_a_project_in_a_linked_work_tree_is_updated_there(
    update: Update, small: Tree, project: Tree, tmp_path: Path
) -> None:
    project.git("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    side = Tree(tmp_path / "side", init=False)
    small.write({"template/plain.txt": "newer\n"})
    small.commit("v2.0.0")
    before = project.state()

    assert update(side).code == 0
    assert side.read("plain.txt") == "newer\n"
    assert project.state() == before


def test_settings_of_the_user_change_nothing(
    update: Update,
    small: Tree,
    project: Tree,
    tmp_path: Path,
) -> None:
    for key, value in {
        "merge.conflictStyle": "diff3",
        "merge.renames": "false",
        "merge.directoryRenames": "true",
        "merge.renormalize": "true",
        "diff.renames": "false",
        "diff.external": "false",
        "diff.noprefix": "true",
        "apply.whitespace": "error",
        "core.whitespace": "trailing-space",
        "core.hooksPath": str(tmp_path / "hooks"),
        "core.attributesFile": str(tmp_path / "attributes"),
        "status.showUntrackedFiles": "no",
        "status.short": "true",
        "commit.gpgSign": "true",
        "color.ui": "always",
        "core.quotePath": "true",
        "core.fsmonitor": "false",
        "submodule.recurse": "true",
        "user.useConfigOnly": "true",
    }.items():
        project.git("config", key, value)
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/post-index-change").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "hooks/post-index-change").chmod(0o755)
    (tmp_path / "attributes").write_text("* merge=union\n")
    project.write({"plain.txt": UNEDITED + "mine \n", "فارسی.txt": "mine\n"})
    project.git("config", "commit.gpgSign", "false")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--no-verify", "-m", "Mine")
    small.git("mv", "template/plain.txt", "template/renamed.txt")
    small.write({"template/name.txt.jinja": "theirs \n"})
    small.commit("v2.0.0")

    assert update(project).code == 0
    assert project.read("renamed.txt") == UNEDITED + "mine \n"
    assert project.read("name.txt") == "theirs \n"


def test_line_ends_of_the_user_s_work_tree_are_kept(
    update: Update, small: Tree, project: Tree
) -> None:
    project.git("config", "core.autocrlf", "true")
    for path in ("plain.txt", "name.txt", "temporal.txt"):
        (project.path / path).unlink()
    project.git("checkout", "--", ".")
    assert project.read("plain.txt") == UNEDITED.replace("\n", "\r\n")
    small.write({"template/plain.txt": UNEDITED + "four\n"})
    small.commit("v2.0.0")

    assert update(project).code == 0
    assert project.read("plain.txt") == (UNEDITED + "four\n").replace("\n", "\r\n")
    assert project.git("status", "--porcelain").splitlines() == [
        "M  .copier-answers.yml",
        "M  plain.txt",
    ]


def test_mode_bits_and_links_come_and_go(update: Update, small: Tree, project: Tree) -> None:
    small.write(
        {
            "template/plain.txt": "#!/bin/sh\n",
            "copier.yml": ((small.path / "copier.yml").read_text() + "_preserve_symlinks: true\n"),
        }
    )
    (small.path / "template/plain.txt").chmod(0o755)
    (small.path / "template/link").symlink_to("plain.txt")
    small.commit("v2.0.0")

    assert update(project).code == 0
    assert (project.path / "plain.txt").stat().st_mode & 0o111
    assert (project.path / "link").readlink() == Path("plain.txt")
    assert "120000" in project.git("ls-files", "--stage", "link")


def test_a_file_may_become_a_folder_and_a_folder_a_file(
    update: Update, small: Tree, project: Tree
) -> None:
    small.write({"template/plain.txt": None, "template/folder/a.txt": "a\n"})
    small.write({"template/plain.txt/inside.txt": "inside\n"})
    small.commit("v2.0.0")
    assert update(project).code == 0
    assert project.read("plain.txt/inside.txt") == "inside\n"
    project.commit()

    small.write({"template/folder/a.txt": None})
    (small.path / "template/folder").rmdir()
    small.write({"template/folder": "a file now\n"})
    small.commit("v3.0.0")
    assert update(project).code == 0
    assert project.read("folder") == "a file now\n"


@pytest.mark.parametrize(
    ("place", "named"), [("added", "added"), ("added/deep.txt", "added/deep.txt")]
)
def test_what_git_does_not_know_is_never_overwritten(
    update: Update, small: Tree, project: Tree, place: str, named: str
) -> None:
    project.write({".gitignore": "added\n"})
    project.commit()
    project.write({place: "mine\n"})
    small.write({"template/added/deep.txt" if place == "added" else "template/added": "new\n"})
    small.commit("v2.0.0")
    before = project.state()

    refused = update(project)
    assert refused.code == 1
    assert named in refused.err
    assert project.state() == before


COPIER_UPDATE = [sys.executable, "-m", "copier", "update", "--quiet", "--defaults"]


@pytest.mark.parametrize(
    "arguments", [[], ["-d", "task_runner=celery"], ["-d", "docs_language=fa"]], ids=str
)
def test_a_clean_update_is_the_one_that_copier_makes_byte_for_byte(
    lich: Lich, update: Update, template: Path, tmp_path: Path, arguments: list[str]
) -> None:
    source = Tree(tmp_path / "source", init=False)
    git(tmp_path, "clone", "--quiet", str(template), str(source.path))
    lich("init", tmp_path / "one/app", "--template", source.path, "-l", "-t", "none")
    one = Tree(tmp_path / "one/app", init=False)
    one.write({"mine.txt": "mine\n"})
    one.commit()
    git(tmp_path, "clone", "--quiet", str(one.path), str(tmp_path / "two/app"))
    source.write({"template/added.txt.jinja": "{{ project_name }} {{ task_runner }}\n"})
    source.commit("v100.0.0")

    assert update(one, *(["--latest", *arguments] if arguments else [])).code == 0
    subprocess.run([*COPIER_UPDATE, *arguments], cwd=tmp_path / "two/app", check=True)
    assert snapshot(one.path) == snapshot(tmp_path / "two/app")


def test_a_project_in_a_folder_with_the_longest_name_is_updated(
    lich: Lich, update: Update, small: Tree, tmp_path: Path
) -> None:
    project = Tree(tmp_path / ("n" * 252), init=False)
    assert lich("init", project.path, "--template", small.path, "-l").code == 0
    small.write({"template/plain.txt": "newer\n"})
    small.commit("v2.0.0")
    assert update(project).code == 0
    assert project.read("plain.txt") == "newer\n"


def test_settings_that_came_and_went_are_told_with_their_defaults(
    lich: Lich, update: Update, small: Tree, project: Tree
) -> None:
    small.write({"template/.env.example.jinja": "# OLD=1\n# KEPT=1\n# in prose: X=1\n"})
    small.commit("v1.1.0")
    assert update(project).report["settings"]["gained"] == [
        {"name": "OLD", "default": "1"},
        {"name": "KEPT", "default": "1"},
    ]
    project.write({".env.example": project.read(".env.example") + "# MINE=1\n"})
    project.commit()
    small.write(
        {"template/.env.example.jinja": "# KEPT=2\n# TOKEN=\nNAME={{ name }} y\n#PORT=80\n"}
    )
    small.commit("v2.0.0")

    preview = lich("update", project.path, "--dry-run").out
    assert update(project).report["settings"] == {
        "gained": [
            {"name": "TOKEN", "default": None},
            {"name": "NAME", "default": "x y"},
            {"name": "PORT", "default": "80"},
        ],
        "lost": ["OLD"],
    }
    for line in (
        "new setting TOKEN: no default",
        "new setting NAME: default x y",
        "setting OLD is gone",
    ):
        assert f"  {line}\n" in preview
