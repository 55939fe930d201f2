"""An update as a branch for a pull request, pushed to a bare repository as a workflow does it."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.kit.repository import LICH
from tests.kit.trees import Tree, git
from tests.wrapper.conftest import UNEDITED, Lich

BRANCH = "lich-update"


@pytest.fixture
def forge(project: Tree, tmp_path: Path) -> Path:
    """The bare repository to which the project is pushed."""
    git(tmp_path, "clone", "--quiet", "--bare", str(project.path), str(tmp_path / "forge.git"))
    return tmp_path / "forge.git"


@pytest.fixture
def runner(forge: Path, tmp_path: Path) -> Tree:
    """A clone, as a workflow starts with."""
    return clone(forge, tmp_path / "runner")


def clone(forge: Path, folder: Path) -> Tree:
    git(folder.parent, "clone", "--quiet", str(forge), str(folder))
    return Tree(folder, init=False)


def push(project: Tree) -> None:
    project.git("push", "--quiet", "--force-with-lease", "origin", BRANCH)


def release(small: Tree, tag: str = "v2.0.0") -> None:
    (small.path / "template/name.txt.jinja").unlink(missing_ok=True)
    small.write(
        {
            "CHANGELOG.md": f"## {tag}\n- Everything is new.\n",
            "template/plain.txt": f"{UNEDITED}{tag}\n",
            "template/new/file.txt": "new\n",
            "template/.env.example": "# TOKEN=\n# PORT=80\n",
        }
    )
    small.commit(tag)


def test_the_update_is_a_commit_that_a_pull_request_can_be_made_of(
    lich: Lich, small: Tree, forge: Path, runner: Tree, tmp_path: Path
) -> None:
    release(small)
    runner.write({"plain.txt": "not committed\n"})
    before = runner.state()

    done = lich("update", runner.path, "--branch", BRANCH, "--test", "cat new/file.txt; echo ok")

    assert done.code == 0, done.err
    assert runner.state() == before
    push(runner)
    assert git(forge, "log", "--format=%s", f"HEAD..{BRANCH}") == (
        "Update the project from template v1.0.0 to v2.0.0"
    )
    assert git(forge, "diff", "--name-status", "HEAD", BRANCH).splitlines() == [
        "M\t.copier-answers.yml",
        "A\t.env.example",
        "D\tname.txt",
        "A\tnew/file.txt",
        "M\tplain.txt",
    ]
    assert git(forge, "show", f"{BRANCH}:plain.txt") == f"{UNEDITED}v2.0.0"
    assert done.out.startswith("Update the project from template v1.0.0 to v2.0.0.\n")
    for line in (
        "- New: `TOKEN`, **no default**",
        "- New: `PORT`, default `80`",
        "`cat new/file.txt; echo ok` passed.",
        "```text\nnew\nok\n```",
        "### 2.0.0\n\n- Everything is new.",
        "- `new/file.txt`",
        "Removed:\n\n- `name.txt`",
    ):
        assert f"{line}\n" in done.out
    # Merged, it is an update as any other.
    git(forge, "update-ref", "refs/heads/" + git(forge, "branch", "--show-current"), BRANCH)
    merged = clone(forge, tmp_path / "merged")
    assert "up to date" in lich("update", merged.path).out


def test_a_later_run_refreshes_the_branch_and_one_without_news_leaves_it(
    lich: Lich, small: Tree, forge: Path, runner: Tree, tmp_path: Path
) -> None:
    release(small)
    assert lich("update", runner.path, "--branch", BRANCH).code == 0
    push(runner)
    first = git(forge, "rev-parse", BRANCH)

    second = clone(forge, tmp_path / "second")
    same = json.loads(lich("update", second.path, "--branch", BRANCH, "--json").out)
    assert (same["commit"], same["refreshed"], same["branch"]) == (first, False, BRANCH)

    release(small, "v3.0.0")
    third = clone(forge, tmp_path / "third")
    newer = json.loads(lich("update", third.path, "--branch", BRANCH, "--json").out)
    assert newer["refreshed"]
    push(third)
    assert git(forge, "rev-parse", BRANCH) == newer["commit"] != first
    assert git(forge, "rev-list", "--count", f"HEAD..{BRANCH}") == "1"


def test_conflicts_are_committed_and_named_and_told_by_the_exit_code(
    lich: Lich, small: Tree, runner: Tree
) -> None:
    runner.write({"plain.txt": f"{UNEDITED}mine\n"})
    runner.commit()
    release(small)

    done = lich("update", runner.path, "--branch", BRANCH, "--test", "touch ran")

    assert done.code == 3
    assert "## Conflicts\n" in done.out
    assert "\n- `plain.txt`\n" in done.out
    assert "## Tests" not in done.out
    assert "<<<<<<< your-project\nmine\n" in runner.git("show", f"{BRANCH}:plain.txt")


def test_an_edited_file_that_the_template_removes_needs_a_person_too(
    lich: Lich, small: Tree, runner: Tree
) -> None:
    runner.write({"name.txt": "mine\n"})
    runner.commit()
    release(small)
    done = lich("update", runner.path, "--branch", BRANCH)
    assert done.code == 3
    assert "## Removed although you edited them\n\n- `name.txt`\n" in done.out
    assert lich("update", runner.path, "--branch", BRANCH, "--yes").code == 0


def test_failing_tests_are_told_in_a_fence_that_their_output_cannot_end(
    lich: Lich, small: Tree, runner: Tree
) -> None:
    release(small)
    command = "seq 100; printf '\\140\\140\\140\\n'; exit 1"
    done = lich("update", runner.path, "--branch", BRANCH, "--test", command)
    assert done.code == 0
    assert f"`{command}` **failed**.\n\n````text\n62\n" in done.out
    assert "\n```\n````\n" in done.out


def test_work_of_people_on_the_branch_is_never_replaced(
    lich: Lich, small: Tree, forge: Path, runner: Tree, tmp_path: Path
) -> None:
    release(small)
    lich("update", runner.path, "--branch", BRANCH)
    push(runner)
    person = clone(forge, tmp_path / "person")
    person.git("switch", "--quiet", BRANCH)
    person.write({"plain.txt": "resolved\n"})
    person.commit()
    push(person)

    release(small, "v3.0.0")
    later = clone(forge, tmp_path / "later")
    refused = lich("update", later.path, "--branch", BRANCH)
    assert refused.code == 1
    assert f"refs/remotes/origin/{BRANCH} holds the commit" in refused.err
    # A clone from before does not know of it, and the push is what refuses.
    assert lich("update", runner.path, "--branch", BRANCH).code == 0
    with pytest.raises(Exception, match="stale info"):
        push(runner)
    assert git(forge, "show", f"{BRANCH}:plain.txt") == "resolved"
    # The branch that is checked out is no place for it.
    assert "is checked out" in lich("update", person.path, "--branch", BRANCH).err


def test_a_part_of_a_repository_is_updated_on_a_branch_of_the_whole(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    around = Tree(tmp_path / "around")
    around.write({"other.txt": "other\n"})
    assert lich("init", around.path / "apps/x", "--template", small.path, "-l").code == 0
    around.commit()
    release(small)
    done = lich(
        "update",
        around.path / "apps/x",
        "--branch",
        BRANCH,
        "--test",
        "cat plain.txt ../../other.txt",
    )
    assert done.code == 0, done.err
    assert "two\nthree\nv2.0.0\nother\n" in done.out
    changed = around.git("diff", "--name-only", "HEAD", BRANCH).splitlines()
    assert {name.rpartition("x/")[0] for name in changed} == {"apps/"}
    assert "apps/x/new/file.txt" in changed


def test_a_dry_run_makes_no_branch(lich: Lich, small: Tree, runner: Tree) -> None:
    release(small)
    refs = runner.git("for-each-ref")
    done = lich("update", runner.path, "--branch", BRANCH, "--dry-run")
    assert (done.code, done.out.partition(".\n")[0]) == (
        0,
        "Update the project from template v1.0.0 to v2.0.0",
    )
    assert runner.git("for-each-ref") == refs


@pytest.mark.parametrize(
    "options", [["--branch", "x", "--check"], ["--test", "true"]], ids=["check", "test"]
)
def test_options_that_do_not_go_with_a_branch_are_wrong_usage(
    lich: Lich, project: Tree, options: list[str]
) -> None:
    assert lich("update", project.path, *options).code == 2


def test_a_name_that_no_branch_can_have_is_refused(lich: Lich, small: Tree, runner: Tree) -> None:
    release(small)
    result = lich("update", runner.path, "--branch", "a..b")
    assert (result.code, "a..b" in result.err) == (1, True)


GH = """\
#!/bin/bash
printf '%s\\n' "$*" >> "$GH_LOG"
if [ "$1 $2" = "pr list" ]; then cat "$GH_OPEN"; fi
"""


def test_the_workflow_opens_a_pull_request_and_then_refreshes_it(
    lich: Lich, small: Tree, template: Path, forge: Path, tmp_path: Path
) -> None:
    lich("init", tmp_path / "w", "--template", template, "-l", "-d", "update_workflow=true")
    workflow = yaml.safe_load((tmp_path / "w/.github/workflows/update.yml").read_text())
    job = workflow["jobs"]["update"]
    commands = [step["run"] for step in job["steps"] if "name" in step]
    assert len(commands) == 2
    tools = tmp_path / "tools"
    tools.mkdir()
    lich_itself = shlex.join(LICH)
    # The tests of a whole project are not what is tried here.
    uvx = f'[ "$1 $2 $3" = "--from lich-wrapper lich" ] && exec {lich_itself} "${{@:4:4}}" true'
    stand_ins = {"uvx": f"#!/bin/bash\n{uvx}\n", "gh": GH}
    for name, text in stand_ins.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    opened = tmp_path / "opened"
    opened.write_text("")
    log = tmp_path / "log"

    def run_workflow(number: int) -> list[str]:
        """Run the workflow's commands in a fresh clone and return those that it gives the forge."""
        log.write_text("")
        here = clone(forge, tmp_path / f"run{number}")
        outputs = tmp_path / f"outputs{number}"
        outputs.write_text("")
        environment = {
            **os.environ,
            **job["env"],
            "PATH": f"{tools}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "step"),
            "GITHUB_OUTPUT": str(outputs),
            "GH_LOG": str(log),
            "GH_OPEN": str(opened),
        }
        bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
        subprocess.run([*bash, commands[0]], cwd=here.path, env=environment, check=True)
        said = dict(line.split("=") for line in outputs.read_text().splitlines())
        if said.get("found") == "true":
            environment["CODE"] = said["code"]
            subprocess.run([*bash, commands[1]], cwd=here.path, env=environment, check=True)
        return log.read_text().splitlines()

    branch = job["env"]["BRANCH"]
    assert run_workflow(1) == []
    release(small)
    created = run_workflow(2)
    assert created[0] == "auth setup-git"
    title = "--title Update the project from template v1.0.0 to v2.0.0"
    body = f"--body-file {tmp_path}/summary.md"
    assert created[2].strip() == f"pr create --head {branch} {title} {body}"
    assert git(forge, "show", f"{branch}:plain.txt") == f"{UNEDITED}v2.0.0"
    assert "## Settings" in (tmp_path / "summary.md").read_text()

    opened.write_text("7\n")
    person = clone(forge, tmp_path / "person")
    person.write({"plain.txt": f"{UNEDITED}mine\n"})
    person.commit()
    person.git("push", "--quiet")
    refreshed = run_workflow(3)
    assert refreshed[2:] == [f"pr edit 7 {title} {body}", "pr ready 7 --undo"]
    assert "## Conflicts" in (tmp_path / "summary.md").read_text()
    opened.write_text("")
    assert run_workflow(4)[2].endswith("--draft")
