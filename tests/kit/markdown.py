"""Reads a guide as its reader does: its code blocks, the files they are about, and its prose."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^ *\2 *$\n?", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)|<code[^>]*>([^<]+)</code>")
_PATH = re.compile(r"[\w.-]+(/[\w.-]+)+|[\w.-]+\.(py|md|toml|yaml|yml)")


@dataclass(frozen=True)
class Block:
    """A code block, and the file that the sentence before it names last, if any."""

    language: str
    text: str
    line: int
    file: str | None


def blocks(text: str) -> list[Block]:
    """Return the code blocks of a guide in their order."""
    return list(_blocks(text))


def _blocks(text: str) -> Iterator[Block]:
    end = 0
    for fence in _FENCE.finditer(text):
        sentence = re.split(r"[.?!؟]\s|\n\n", text[end : fence.start()].rstrip())[-1]
        files = [code for code in inline_code(sentence) if _PATH.fullmatch(code)]
        indent = len(fence[1])
        yield Block(
            fence[3].strip(),
            "".join(line[indent:] or "\n" for line in fence[4].splitlines(keepends=True)),
            text.count("\n", 0, fence.start()) + 1,
            files[-1] if files and sentence.endswith(":") else None,
        )
        end = fence.end()


def inline_code(text: str) -> list[str]:
    """Return what stands in code type within the text."""
    return [markdown or html for markdown, html in _CODE.findall(text)]


def unfenced(text: str) -> str:
    """Return the text without its code blocks, with its lines where they were."""
    return _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)


def prose(text: str) -> str:
    """Return the text without code, addresses and tags, with its lines where they were."""
    text = unfenced(text)
    text = _CODE.sub("", text)
    text = re.sub(r"\]\([^)\s]*\)", "]", text)
    return re.sub(r"<[^>\n]+>", "", text)


def shape(text: str) -> list[str]:
    """Return what a guide is built of: headings with their levels, lists, tables, blocks."""
    marks: dict[str, Callable[[re.Match[str]], str]] = {
        r"(#+) ": lambda found: found[1],
        r" *- ": lambda _: "item",
        r" *\d+\. ": lambda _: "number",
        r"\|": lambda _: "row",
        r" *```(\S+)": lambda found: found[1],
    }
    outside = "\n".join(
        line if not inside or line.lstrip().startswith("```") else ""
        for line, inside in _inside(text)
    )
    return [
        name(found)
        for line in outside.splitlines()
        for mark, name in marks.items()
        if (found := re.match(mark, line))
    ]


def _inside(text: str) -> Iterator[tuple[str, bool]]:
    inside = False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        yield line, inside
        inside ^= fence
