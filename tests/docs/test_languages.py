"""The English and the Persian guides say the same, each in the manner of its language."""

import re

from tests.docs.conftest import GUIDES
from tests.kit.guides import Guides
from tests.kit.markdown import blocks, inline_code, prose, shape

LETTER = "\u0622-\u064a\u0671-\u06d3"  # the letters of Persian, and those of Arabic beside them
ZWNJ = "\u200c"


def test_the_code_blocks_of_the_two_languages_are_the_same(guides: Guides) -> None:
    for guide in guides:
        english, persian = (
            [(block.language, block.text, block.file) for block in blocks(text)]
            for text in (guides[guide]["en"], guides[guide]["fa"])
        )
        assert persian == english


def test_the_two_languages_are_built_the_same(guides: Guides) -> None:
    for guide in guides:
        assert shape(guides[guide]["fa"]) == shape(guides[guide]["en"])


def test_the_two_languages_name_the_same_things(guides: Guides) -> None:
    for guide in guides:
        english, persian = (
            {code.rstrip("/") for code in inline_code(guides[guide][language])}
            for language in ("en", "fa")
        )
        assert persian == english


def test_persian_is_written_as_persian(guides: Guides) -> None:
    mistakes = {
        "an Arabic letter or digit": r"[يكةى٠-٩]",
        "می without its half-space": rf"(?<![{LETTER}])ن?می [{LETTER}]",
        "ها without its half-space": rf"[{LETTER}] ها(ی|یی|یش)?(?![{LETTER}])",
        "a half-space at the edge of a word": rf"{ZWNJ}(?![{LETTER}])|(?<![{LETTER}]){ZWNJ}",
        "a Latin mark after Persian": rf"[{LETTER}][,;?]",
        "a Latin digit": r"(?<![\w.-])[0-9]+(?![\w.-])",
        "a mark of direction": r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]",
    }
    for guide in guides:
        text = prose(guides[guide]["fa"])
        found = {
            name: [match.group() + text[match.end() : match.end() + 20] for match in matches]
            for name, mistake in mistakes.items()
            if (matches := list(re.finditer(mistake, text)))
        }
        assert found == {}


def test_code_in_persian_text_keeps_its_direction(guides: Guides) -> None:
    """At an edge that is no letter, code would be torn apart from right to left."""
    for guide in guides:
        torn = [
            code
            for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", guides[guide]["fa"])
            if not re.fullmatch(r"[A-Za-z0-9](.*[A-Za-z0-9])?", code)
        ]
        assert torn == []


def test_persian_reads_from_right_to_left(guides: Guides) -> None:
    for guide in guides:
        text = guides[guide]["fa"]
        if guide.startswith("docs/") and guide not in GUIDES:
            continue  # a page of the site, all of which reads so
        assert text.startswith('<div dir="rtl">\n\n')
        assert text.endswith("\n\n</div>\n")
