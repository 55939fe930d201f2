"""The reader of the guides finds what is false in a guide."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.guides import Reader, Untrue, edited
from tests.kit.markdown import blocks, prose, shape
from tests.kit.trees import git


@pytest.fixture
def person(tmp_path: Path, tools: Path) -> Iterator[Reader]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "code.py").write_text("a = 1\nb = 2\n")
    (project / "compose.yaml").write_text("services: {api: {image: x}, worker: {image: x}}\n")
    (project / "internal").mkdir()
    (project / "internal/runner.py").write_text(
        "import contextlib\n\n@contextlib.asynccontextmanager\nasync def lifespan():\n    yield\n"
    )
    git(project, "init", "--quiet")
    with Reader.reading(project, tools, "none") as person:
        yield person


@pytest.mark.parametrize(
    "guide",
    [
        "Run it:\n\n```bash\ntrue\n```\n",
        "```bash\ncd /\n! false\n```\n",
        "It is in `code.py`:\n\n```python\na = 1\n```\n",
        "In `code.py`:\n\n```diff\n a = 1\n+c = 3\n b = 2\n@@\n-b = 2\n+b = 4\n```\n",
        "A new file, `new.py`:\n\n```python\nc = 3\n```\n\n```bash\ngrep 3 new.py\n```\n",
        "```bash\ndocker compose up --detach --scale worker=3\n```\n",
        "```bash\ndocker compose up --build\n```\n",
        "```python\nimport asyncio\n\nawait asyncio.sleep(0)\n```\n",
    ],
)
def test_a_true_guide_passes(person: Reader, guide: str) -> None:
    person.follow(guide, "guide")


@pytest.mark.parametrize(
    ("guide", "line", "reason"),
    [
        ("Run it:\n\n```bash\nfalse\n```\n", 3, "ended with 1"),
        ("```bash\nfalse\ntrue\n```\n", 1, "ended with 1"),
        ("```bash\nfalse | true\n```\n", 1, "ended with 1"),
        ("```bash\nno-such-command\n```\n", 1, "command not found"),
        ("```bash\nlich init --no-such-option\n```\n", 1, "No such option"),
        ("```bash\ncurl http://127.0.0.1:8000/livez\n```\n", 1, "connect"),
        ("It is in `code.py`:\n\n```python\na = 2\n```\n", 3, "no such lines"),
        ("In `code.py`:\n\n```diff\n a = 2\n+c = 3\n```\n", 3, "0 times"),
        ("In `gone.py`:\n\n```diff\n+c = 3\n```\n", 3, "No such file"),
        ("```python\nassert False\n```\n", 1, "AssertionError"),
        ("```bash\ndocker compose up redis\n```\n", 1, "no service"),
        ("```bash\ndocker compose explode\n```\n", 1, "not a command"),
        ("```bash\nuv run honcho start\n```\n", 1, "ended with"),
        ("```bash\ntrue\n```\n\n```ini\na = 1\n```\n", 5, "unknown kind"),
        ("```\ntrue\n```\n", 1, "unknown kind"),
    ],
)
def test_a_false_block_is_found_with_its_line(
    person: Reader, guide: str, line: int, reason: str
) -> None:
    with pytest.raises(Untrue, match=f"guide, line {line}:") as found:
        person.follow(guide, "guide")
    assert reason in str(found.value)


def test_every_block_is_extracted_with_the_file_it_is_said_to_be_in() -> None:
    text = (
        "# `a.py`\n\nSee `b.py`. It is, in `api/c.py`:\n\n```python\n1\n```\n\n"
        "No file here.\n\n```python\n2\n\n3\n```\n\n"
        "- in a list, `d.py`:\n\n  ````bash\n  ```\n  4\n  ````\n"
    )
    assert [(block.language, block.text, block.file, block.line) for block in blocks(text)] == [
        ("python", "1\n", "api/c.py", 5),
        ("python", "2\n\n3\n", None, 11),
        ("bash", "```\n4\n", "d.py", 19),
    ]


def test_a_diff_is_applied_only_where_it_fits_once() -> None:
    assert edited("a\nb\n", " a\n-b\n+c\n") == "a\nc\n"
    with pytest.raises(Untrue, match="2 times"):
        edited("a\na\n", " a\n+b\n")
    with pytest.raises(Untrue, match="not a line of a diff"):
        edited("a\n", "a\n")


def test_prose_is_what_is_not_code() -> None:
    text = '# A\n\nB `c` [d](e) <f> <code dir="ltr">g</code>\n\n```bash\nh\n```\n\n- i\n'
    assert prose(text).split() == ["#", "A", "B", "[d]", "-", "i"]
    assert shape(text) == ["#", "bash", "item"]
