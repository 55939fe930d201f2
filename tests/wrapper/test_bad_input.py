"""Wrong input is reported in one sentence, before anything is written."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.kit.repository import LICH
from tests.kit.trees import Tree, snapshot
from tests.wrapper.conftest import Lich, Result

NAMES = {
    "quotes": 'My "Cool" App',
    "apostrophe": "Bob's App",
    "persian": "پروژه من",
    "colon": "a: b",
    "jinja": "{{ 7*7 }}",
    "emoji": "🚀",
    "yaml": "yes",
    "number": "0755",
}
REFUSED = {
    "long": "x" * 300,
    "empty": "",
    "parent": "../x",
    "newline": "a\nb",
    "blank": "   ",
}


def refused(result: Result, *words: str) -> None:
    assert result.code in (1, 2), result
    assert result.out == ""
    assert "Traceback" not in result.err
    if result.code == 1:
        assert len(result.err.splitlines()) == 1
        assert result.err.startswith("Error: ")
    for word in words:
        assert word in result.err


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_unusual_name_is_right_in_every_place(
    lich: Lich, template: Path, tmp_path: Path, name: str
) -> None:
    given = lich("init", tmp_path / "x", "--template", template, "-l", "-d", f"project_name={name}")
    folder = lich("init", tmp_path / name, "--template", template, "-l")

    assert given.code == folder.code == 0, given.err + folder.err
    for path in (tmp_path / "x", tmp_path / name):
        answers = yaml.safe_load((path / ".copier-answers.yml").read_text())
        assert answers["project_name"] == name


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_a_bad_name_is_refused_and_nothing_written(
    lich: Lich, template: Path, tmp_path: Path, name: str
) -> None:
    result = lich(
        "init", tmp_path / "x", "--template", template, "-l", "-d", f"project_name={name}"
    )
    refused(result, "-d project_name=")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["x" * 300, "a\nb", "", "x" * 81], ids=["300", "newline", "no", "81"]
)
def test_a_bad_folder_is_refused_and_nothing_written(
    lich: Lich, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(lich("init", name, "--template", template, "-l"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_beside_this_one_is_an_ordinary_place(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert lich("init", "../x", "--template", small.path, "-l").code == 0
    assert (tmp_path / "x/plain.txt").exists()


def test_a_destination_that_is_taken_is_left_alone(lich: Lich, small: Tree, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere/at/all")
    before = snapshot(tmp_path)

    common = ["--template", small.path, "-l"]
    refused(lich("init", tmp_path / "full", *common), "not empty", "mine.txt")
    refused(lich("init", tmp_path / "file", *common), "is a file")
    refused(lich("init", tmp_path / "file/below", *common), "is a file")
    assert snapshot(tmp_path) == before


def test_a_parent_that_cannot_be_written_is_reported(lich: Lich, small: Tree) -> None:
    for parent in ("/proc", "/sys", "/dev/null"):
        refused(lich("init", f"{parent}/x", "--template", small.path, "-l"))


def test_a_parent_without_permission_is_reported(lich: Lich, small: Tree, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    refused(lich("init", tmp_path / "closed/x", "--template", small.path, "-l"), "not writable")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-d", "project_nam=x"], ["project_nam", "did you mean project_name?"]),
        (["-d", "zzz=x"], ["zzz", "docs_language"]),
        (["-d", "uses_temporal=true"], ["uses_temporal"]),
        (["-d", "novalue"], ["KEY=VALUE"]),
        (["-t", "cron"], ["cron", "temporal, celery, none"]),
        (["-d", "docs_language=de"], ["de", "en, fa"]),
        (["-d", "python_version=3.9"], ["3.11, 3.12, 3.13, 3.14"]),
        (["-d", "project_slug=No Slug"], ["not a slug"]),
        (["-r", "v0.0.404"], ["v0.0.404", "v99.0.0"]),
        (["-r", "--help"], ["--help"]),
        (["--data-file", "missing.yml"], ["missing.yml"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_a_wrong_option_is_refused_and_nothing_written(
    lich: Lich, template: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    refused(lich("init", tmp_path / "x", "--template", template, "-l", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"project_name: [", ["not valid YAML"]),
        (b"- a\n- b\n", ["question: answer"]),
        (b"\xff\xfe\x00", ["not valid YAML"]),
        (b"", ["question: answer"]),
        (b"python_version: 3.10\n", ["3.1", "3.11, 3.12, 3.13, 3.14"]),
        (b"project_name: true\n", ["project_name", "text"]),
        (b"description: [a]\n", ["description", "text"]),
        (b"docs_langage: fa\n", ["did you mean docs_language?"]),
    ],
)
def test_a_broken_data_file_is_refused_and_nothing_written(
    lich: Lich, template: Path, tmp_path: Path, content: bytes, words: list[str]
) -> None:
    file = tmp_path / "answers.yml"
    file.write_bytes(content)
    result = lich("init", tmp_path / "x", "--template", template, "-l", "--data-file", file)
    refused(result, *words)
    assert list(tmp_path.iterdir()) == [file]


def test_without_a_terminal_nothing_is_asked(lich: Lich, template: Path, tmp_path: Path) -> None:
    result = lich("init", tmp_path / "x", "--template", template)
    refused(result, "--task-runner", "--defaults")
    assert list(tmp_path.iterdir()) == []
    assert lich("init", tmp_path / "x", "--template", template, "-t", "none").code == 0


@pytest.mark.parametrize("what", ["nowhere", "file", "plain", "unborn", "bare-of-questions"])
def test_a_source_that_is_no_template_is_reported(lich: Lich, tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "plain").mkdir()
    Tree(tmp_path / "unborn")
    Tree(tmp_path / "bare-of-questions").commit()
    result = lich("init", tmp_path / "x", "--template", tmp_path / what, "-l")
    refused(result, "emplate")
    assert not (tmp_path / "x").exists()


def test_a_template_that_cannot_be_fetched_is_reported(lich: Lich, tmp_path: Path) -> None:
    result = lich("init", tmp_path / "x", "--template", f"file://{tmp_path}/none.git", "-l")
    refused(result, "cannot be fetched", "--template")


def test_a_template_that_wants_to_run_commands_is_refused(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    small.write({"copier.yml": "_subdirectory: template\nname: x\n_tasks: [touch ran]\n"})
    small.commit("v1.1.0")
    refused(lich("init", tmp_path / "x", "--template", small.path, "-l"), "run commands")
    assert not (tmp_path / "x").exists()


def test_a_template_that_points_outside_of_itself_is_refused_and_moves_nothing(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine\n")
    # A file that is moved away and back changes the time of its folder.
    before = (tmp_path / "mine").stat().st_mtime_ns
    small.write({"copier.yml": f"_subdirectory: {tmp_path}/mine\nname: x\n"})
    small.commit("v1.1.0")
    for option in ("--dry-run", "--no-git"):
        result = lich("init", tmp_path / "x", "--template", small.path, "-l", option)
        refused(result)
        assert (tmp_path / "mine").stat().st_mtime_ns == before
        assert (tmp_path / "mine/notes.txt").read_text() == "mine\n"
        assert not (tmp_path / "x").exists()


def test_a_template_that_breaks_in_the_middle_leaves_nothing(
    lich: Lich, small: Tree, tmp_path: Path
) -> None:
    small.write({"template/zzz.jinja": "{{ 1 / 0 }}"})
    small.commit("v1.1.0")
    (tmp_path / "empty").mkdir()
    for place in ("a/b/x", "empty"):
        result = lich("init", tmp_path / place, "--template", small.path, "-l")
        assert result.code == 1
        assert "Traceback" not in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "small"]
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_leaves_nothing(
    small: Tree, tmp_path: Path, number: signal.Signals
) -> None:
    slow = "{% for a in range(3000) %}{% for b in range(3000) %}{% endfor %}{% endfor %}"
    small.write({f"template/slow{n}.jinja": slow for n in range(30)})
    small.commit("v1.1.0")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = ["init", str(tmp_path / "a/x"), "--template", str(small.path), "-l"]
    process = subprocess.Popen(
        [*LICH, *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    while process.poll() is None and not list(tmp_path.glob("a/.lich-*/x/*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err.strip() == "Interrupted."
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small", "tmp"]
    assert list(temporary.iterdir()) == []


def test_lich_debug_shows_the_traceback(
    lich: Lich, small: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LICH_DEBUG", "1")
    assert "Traceback" in lich("init", "", "--template", small.path).err


def test_help_and_version_import_nothing_heavy() -> None:
    for option in ("--help", "--version"):
        command = [sys.executable, "-X", "importtime", *LICH[1:], option]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "lich" in done.stdout
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "click" in imported
        assert imported & {"copier", "yaml", "rich", "jinja2", "pydantic"} == set()


def test_help_sums_every_command_up_in_a_whole_sentence(lich: Lich) -> None:
    _, _, commands = lich("--help").out.partition("Commands:\n")
    summaries = commands.splitlines()
    assert [line.split()[0] for line in summaries] == ["init", "update"]
    for summary in summaries:
        assert re.search(r"[a-z]\.$", summary), summary


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(lich: Lich, shell: str) -> None:
    if shell == "bash" and sys.platform == "win32":
        pytest.skip("no bash")
    assert "_LICH_COMPLETE" in lich("completion", shell).out
