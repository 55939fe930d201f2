"""Random projects with random work in them, updated to random new templates.

An ordinary run makes few of them; before a release, LICH_EXAMPLES=500 makes many. Interruptions and
hostile templates are in test_storm.py.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kit.trees import Tree, snapshot
from tests.wrapper.conftest import ANSWERS, Lich, Update

UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
EXAMPLES = int(os.environ.get("LICH_EXAMPLES", "6"))
PATHS = [
    "a.txt",
    "b with space.md",
    "dir/c.py",
    "dir/deep/d.py",
    "dir/e",
    "پوشه/ف.txt",
    "data.bin",
    "more.bin",
    "run.sh",
    "kept.local",
    "ignored/x.txt",
]
IGNORED = "*.local\nignored/\n"

paths = st.sampled_from(PATHS)
numbers = st.integers(min_value=0, max_value=20)


@dataclass(frozen=True)
class Step:
    """One change of one file; what does not fit the file as it is then changes nothing."""

    kind: str
    path: str
    number: int
    target: str


template_steps = st.builds(
    Step,
    st.sampled_from(["insert", "replace", "cut", "delete", "rename", "add", "mode"]),
    paths,
    numbers,
    paths,
)
user_steps = st.builds(
    Step,
    st.sampled_from(
        ["insert", "replace", "append", "cut", "delete", "rename", "add", "mode", "crlf", "ignore"]
    ),
    paths,
    numbers,
    paths,
)


def original(path: str, seed: int) -> bytes:
    if path.endswith(".bin"):
        return bytes([0, seed, 255, *path.encode(), 0])
    ends = "\r\n" if seed % 7 == 0 else "\n"
    return "".join(f"{path} line {n}{ends}" for n in range(4 + seed % 9)).encode()


def change(folder: Path, steps: list[Step], author: str) -> set[bytes]:
    """Make the changes and return what the author wrote that must not be lost."""
    written: set[bytes] = set()
    for number, step in enumerate(steps):
        path = folder / step.path
        mark = f"{author} {number}".encode()
        content = path.read_bytes() if path.is_file() else None
        binary = step.path.endswith(".bin")
        lines = (content or b"").splitlines(keepends=True)
        at = step.number % (len(lines) + 1)
        match step.kind:
            case "insert" | "replace" | "append" | "cut" if content is not None and binary:
                path.write_bytes(b"\0" + mark + b"\0")
            case "insert" if content is not None:
                path.write_bytes(b"".join([*lines[:at], mark + b"\n", *lines[at:]]))
            case "replace" if content is not None:
                path.write_bytes(b"".join([*lines[:at], mark + b"\n", *lines[at + 1 :]]))
            case "append" if content is not None:
                path.write_bytes(content + mark + b"\n")
            case "cut" if content is not None:
                path.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
            case "delete" if content is not None:
                path.unlink()
            case "rename" if content is not None and not _taken(folder, step.target):
                (folder / step.target).parent.mkdir(parents=True, exist_ok=True)
                path.rename(folder / step.target)
            case "add" | "ignore" if not _taken(folder, step.path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes((b"\0" if binary else b"") + mark + b"\n")
            case "mode" if content is not None:
                path.chmod(path.stat().st_mode ^ 0o111)
            case "crlf" if content is not None and not binary:
                path.write_bytes(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    for path in folder.rglob("*"):
        if path.is_file() and ".git" not in path.relative_to(folder).parts[:1]:
            content = path.read_bytes()
            if path.name.endswith(".bin"):
                written |= {content} if author.encode() in content else set()
            else:
                written |= {
                    line.strip() for line in content.splitlines() if author.encode() in line
                }
    return written


def _taken(folder: Path, name: str) -> bool:
    path = folder / name
    return os.path.lexists(path) or any(p.is_file() for p in path.parents)


def template(folder: Path, start: set[str], seed: int) -> Tree:
    tree = Tree(folder / "template-source")
    tree.write(
        {
            "copier.yml": "_subdirectory: template\n_exclude: []\nname: {type: str, default: x}\n",
            "template/{{ _copier_conf.answers_file }}.jinja": ANSWERS,
            "template/named.txt.jinja": "one\n{{ name }}\nthree\n",
            **{f"template/{path}": original(path, seed + len(path)) for path in sorted(start)},
        }
    )
    if "run.sh" in start:
        (tree.path / "template/run.sh").chmod(0o755)
    tree.commit("v1.0.0")
    return tree


def everything(project: Tree) -> list[bytes]:
    return [content for _, content in snapshot(project.path).values()]


@given(
    start=st.sets(paths, min_size=3),
    seed=numbers,
    theirs=st.lists(template_steps, min_size=1, max_size=6),
    mine=st.lists(user_steps, max_size=8),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=UNHURRIED)
def test_all_work_is_kept_or_the_update_is_refused(
    lich: Lich,
    update: Update,
    start: set[str],
    seed: int,
    theirs: list[Step],
    mine: list[Step],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = template(folder, start, seed)
        assert lich("init", folder / "app", "--template", source.path, "-l").code == 0
        project = Tree(folder / "app", init=False)
        project.write({".gitignore": IGNORED})
        must_stay = change(project.path, mine, "user")
        removed = [path for path in start if not os.path.lexists(project.path / path)]
        project.git("add", "--all")
        project.git("commit", "--quiet", "--allow-empty", "-m", "Mine")
        untracked = {
            path: snapshot(project.path)[path]
            for path in project.git("ls-files", "-z", "--others").split("\0")
            if path
        }
        change(source.path / "template", theirs, "template")
        source.commit("v2.0.0")
        before = project.state()

        done = update(project)

        if done.code == 1:
            assert project.state() == before
            assert done.err.startswith("Error: ")
            assert done.files("removed although you edited it") or "unknown to git" in done.err
            done = update(project, "--yes")
            if done.code == 1:
                assert "unknown to git" in done.err
                assert project.state() == before
                return
            # What the removed files held is in the last commit, and was reported.
            gone = done.files("removed although you edited it")
            must_stay -= _in_commit(project, gone)
        now = everything(project)
        for work in must_stay:
            assert any(work in content for content in now), work
        after = snapshot(project.path)
        for path, content in untracked.items():
            assert after[path] == content
        conflicting = done.files("conflicting")
        for path in removed:
            if path not in conflicting and path not in done.files("new"):
                assert path not in after
        assert done.code == (3 if conflicting else 0)

        project.git("add", "--all")
        project.git("commit", "--quiet", "-m", "Update")
        again = update(project)
        assert (again.code, again.report["status"]) == (0, "up to date")


def _in_commit(project: Tree, names: list[str]) -> set[bytes]:
    kept: set[bytes] = set()
    for entry in project.git("ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0"):
        if entry in names:
            content = project.bytes("cat-file", "blob", f"HEAD:{entry}")
            kept |= {content, *(line.strip() for line in content.splitlines())}
    return kept


@given(
    start=st.sets(paths, min_size=3),
    seed=numbers,
    theirs=st.lists(template_steps, min_size=1, max_size=8),
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=UNHURRIED)
def test_an_untouched_project_and_an_update_are_a_fresh_project(
    lich: Lich, update: Update, start: set[str], seed: int, theirs: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = template(folder, start, seed)
        lich("init", folder / "old/app", "--template", source.path, "-l")
        change(source.path / "template", theirs, "template")
        source.commit("v2.0.0")
        project = Tree(folder / "old/app", init=False)

        assert update(project).code == 0
        lich("init", folder / "new/app", "--template", source.path, "-l")
        assert snapshot(project.path) == snapshot(folder / "new/app")
