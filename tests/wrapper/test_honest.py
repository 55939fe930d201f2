"""A command says what happened, whoever reads it, and writes only what it says it writes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.kit.repository import LICH
from tests.kit.trees import Tree, git, snapshot
from tests.wrapper.conftest import UNEDITED, Lich


def everything(folder: Path) -> dict[str, object]:
    """Return kind, time and content of all that is below a folder, git's own files too."""
    found: dict[str, object] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        about = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        # Git sets the time of an object anew when it is to store it a second time.
        time = about.st_mtime_ns if path.parent.parent.name != "objects" else None
        found[str(path)] = (about.st_mode, about.st_ino, time, content)
    return found


@pytest.fixture
def outdated(small: Tree, project: Tree) -> Tree:
    """A project with a file of the user's, for which the template has a newer version."""
    project.write({"mine.txt": "mine\n"})
    project.commit()
    small.write({"template/plain.txt": UNEDITED + "four\n", "template/new.txt": "new\n"})
    small.commit("v2.0.0")
    return project


def interrupt(project: Tree) -> None:
    """Leave what a killed update leaves: a folder beside git's own files, and a part of the files."""
    (project.path / ".git/lich-update").mkdir()
    (project.path / ".git/lich-update/journal.json").write_text("{}")
    project.write({"new.txt": "new\n"})


@pytest.mark.parametrize("state", ["clean", "interrupted"])
@pytest.mark.parametrize(
    "option", ["--dry-run", "--check", "--dry-run --json", "--check --json", "-n -t celery"]
)
def test_neither_a_dry_run_nor_a_check_writes_anything(
    lich: Lich, outdated: Tree, option: str, state: str
) -> None:
    if state == "interrupted":
        interrupt(outdated)
    # Git would note in its index that a file with another time holds the same.
    os.utime(outdated.path / "plain.txt", (1, 1))
    before = everything(outdated.path)

    result = lich("update", outdated.path, *option.split())

    assert everything(outdated.path) == before
    refused = state == "interrupted" and "--check" not in option
    assert result.code == (1 if refused else 4 if "--check" in option else 0), result
    assert ("interrupted" in result.err) is refused


@pytest.mark.parametrize("where", ["", "apps/part"])
def test_the_diff_of_a_dry_run_is_a_patch_for_git(
    lich: Lich, small: Tree, tmp_path: Path, where: str
) -> None:
    binary = bytes(range(256))
    small.write(
        {
            "copier.yml": (small.path / "copier.yml").read_text() + "_templates_suffix: .jinja\n",
            "template/picture.bin": binary,
            "template/no-end.txt": "no line end",
        }
    )
    small.commit("v1.1.0")
    around = Tree(tmp_path / "around")
    around.commit()
    path = around.path / where
    if not where:
        (around.path / ".git").rename(tmp_path / "unused")
    assert lich("init", path, "--template", small.path, "-l").code == 0
    project = Tree(path, init=False)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--allow-empty", "-m", "Project")
    small.write(
        {
            "template/picture.bin": binary[::-1],
            "template/no-end.txt": "no line end, longer",
            "template/latin.txt": "caf\xe9\n".encode("latin-1"),
            "template/folder/new.txt": "new\r\n",
            "template/plain.txt": None,
        }
    )
    small.commit("v2.0.0")

    result = lich("update", path, "--dry-run", "--json")
    assert result.code == 0, result
    preview = json.loads(result.out)
    (tmp_path / "patch").write_text(preview["diff"], newline="")
    folder = ["--directory", where] if where else []
    git(around.path, "apply", *folder, str(tmp_path / "patch"))
    patched = snapshot(path)
    project.git("reset", "--quiet", "--hard")
    project.git("clean", "-fdq")
    assert lich("update", path).code == 0
    assert patched == snapshot(path)


def run_unread(
    project: Tree, redirection: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}', "-"]
    return subprocess.run(
        [*command, *LICH, *arguments], cwd=project.path, capture_output=True, text=True, check=False
    )


UNREAD = {"closed by its reader": "| true", "a full disk": "> /dev/full", "closed": ">&-"}


@pytest.mark.parametrize("redirection", UNREAD.values(), ids=UNREAD)
@pytest.mark.parametrize("conflict", [False, True])
def test_an_applied_update_says_so_by_its_exit_code_even_if_nobody_reads_the_report(
    small: Tree, outdated: Tree, redirection: str, conflict: bool
) -> None:
    if conflict:
        outdated.write({"plain.txt": UNEDITED + "mine\n"})
        outdated.commit()
    small.write({f"template/n{number}.txt": "x\n" for number in range(50)})
    small.commit("v3.0.0")

    done = run_unread(outdated, redirection, "update")

    assert done.returncode == (3 if conflict else 0), done
    assert (outdated.path / "n49.txt").exists()
    assert "Traceback" not in done.stderr
    assert ("report cannot be written" in done.stderr) is ("full" in redirection)


def test_a_report_that_is_all_a_command_does_must_be_written(outdated: Tree) -> None:
    for option in ("--dry-run", "--check"):
        done = run_unread(outdated, "> /dev/full", "update", option)
        assert done.returncode == 1
        assert done.stderr == "Error: The report cannot be written: No space left on device.\n"


@pytest.mark.parametrize("redirection", ["<&-", ">&- <&-"])
def test_nobody_is_asked_where_the_streams_are_closed(
    small: Tree, outdated: Tree, tmp_path: Path, redirection: str
) -> None:
    arguments = ["init", str(tmp_path / "new"), "--template", str(small.path)]
    done = run_unread(outdated, redirection, *arguments)
    assert (done.returncode, "Nobody can be asked" in done.stderr) == (1, True), done.stderr
    assert run_unread(outdated, redirection, *arguments, "-t", "none").returncode == 0


def test_a_bare_repository_is_named_as_such(lich: Lich, outdated: Tree) -> None:
    outdated.git("config", "core.bare", "true")
    result = lich("update", outdated.path)
    assert (result.code, "is a bare repository" in result.err) == (1, True), result


def test_a_broken_configuration_is_named_as_such(
    lich: Lich, small: Tree, outdated: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").write_text("[user\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "broken"))
    for arguments in (
        ["update", outdated.path],
        ["update", outdated.path, "--dry-run"],
        ["init", tmp_path / "new", "--template", small.path, "-l"],
    ):
        result = lich(*arguments)
        assert result.code == 1
        assert "bad config line 1" in result.err
        assert "git init" not in result.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_repository_of_another_owner_is_named_as_such_and_taken_if_the_user_trusts_it(
    lich: Lich, small: Tree, outdated: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (outdated.path, small.path):
        for path in (place, place / ".git"):
            os.chown(path, 12345, 12345)
    for arguments in (
        ["update", outdated.path, "--template", tmp_path / "nowhere"],
        ["init", tmp_path / "new", "--template", small.path, "-l"],
    ):
        result = lich(*arguments)
        assert result.code == 1
        assert "belongs to another user" in result.err
        assert "safe.directory" in result.err

    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    assert lich("update", outdated.path).code == 0
