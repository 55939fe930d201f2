"""A template's questions, and what checks answers against them before anything is rendered."""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lich_wrapper.errors import LichError

__all__ = [
    "ANSWERS_FILE",
    "RUNNER",
    "Question",
    "Questions",
    "parse_pairs",
    "parse_yaml",
    "public",
    "read_config",
    "read_data_file",
    "was_edited",
]

ANSWERS_FILE: Final = ".copier-answers.yml"

# The one question that has an option of its own and no safe default.
RUNNER: Final = "task_runner"

# The template ends its answers file with this: by it an edit by hand is told from Copier's
# own writing. The source is left out, for Copier's documentation has people edit it.
_FINGERPRINT: Final = re.compile(r"^# Fingerprint: ([0-9a-f]{64})$", re.MULTILINE)

_TRUE: Final = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE: Final = frozenset({"n", "no", "f", "false", "off", "0"})


@dataclass(frozen=True, slots=True)
class Question:
    """What copier.yml says about one question, as far as an answer can be checked by it."""

    name: str
    type: str
    choices: tuple[Any, ...] = ()
    many: bool = False
    computed: bool = False
    required: bool = False

    def problem(self, answer: Any) -> str | None:
        """Say what is wrong with an answer, or return None."""
        if self.many:
            return None
        if (problem := _type_problem(self.type, answer)) is not None:
            return problem
        if self.choices and str(answer) not in map(str, self.choices):
            return f"choose one of {', '.join(map(str, self.choices))}"
        return None


class Questions(dict[str, Question]):
    """The questions of one version of a template, by name and in order."""

    @classmethod
    def read(cls, template: Path) -> "Questions":
        """Read them from the copier.yml in a folder."""
        config = public(read_config(template))
        return cls((name, _question(name, value)) for name, value in config.items())

    def asked(self) -> list[str]:
        """Return the names of the questions that a person can answer."""
        return [name for name, question in self.items() if not question.computed]

    def check(self, answers: Mapping[str, Any]) -> None:
        """Refuse answers to unknown questions, and those of a wrong type or choice."""
        for name, answer in answers.items():
            question = self.get(name)
            if question is None or question.computed:
                import difflib

                asked = self.asked()
                close = difflib.get_close_matches(name, asked, n=1)
                hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(asked)}."
                raise LichError(f"The template has no question {name!r}: {hint}")
            if (problem := question.problem(answer)) is not None:
                option = "--task-runner" if name == RUNNER else f"-d {name}=…"
                raise LichError(f"{answer!r} is no answer to {name} ({option}): {problem}.")


def public(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return answers without the names that Copier keeps for itself."""
    return {name: answer for name, answer in answers.items() if not name.startswith("_")}


def read_config(template: Path) -> dict[str, Any]:
    """Return the content of the copier.yml in a folder: settings, and questions by name."""
    for name in ("copier.yml", "copier.yaml"):
        if (template / name).is_file():
            return _parse_config((template / name).read_text(encoding="utf-8"))
    raise LichError("The template has no copier.yml: give the source of a Copier template.")


@functools.cache
def _parse_config(text: str) -> dict[str, Any]:
    import yaml

    try:
        data = parse_yaml(text)
    except yaml.YAMLError as problem:
        raise LichError(f"The template's copier.yml cannot be read: {problem}") from problem
    if not isinstance(data, dict):
        raise LichError("The template's copier.yml holds no questions.")
    return {str(key): value for key, value in data.items()}


def parse_yaml(text: str) -> Any:
    """Read YAML without custom types; raises yaml.YAMLError if it is none."""
    import yaml

    # The parser in C, where PyYAML was built with it, is ten times as fast. Both loaders are safe.
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Split the KEY=VALUE of the command line."""
    answers = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise LichError(
                f"--data {pair!r} is not of the form KEY=VALUE: write for example "
                "-d description='What it does'."
            )
        answers[key] = value
    return answers


def read_data_file(path: Path) -> dict[str, Any]:
    """Read answers from a YAML file."""
    import yaml

    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise LichError(
            f"The data file {path} cannot be read ({problem.strerror}): give a YAML file."
        ) from problem
    except (UnicodeDecodeError, yaml.YAMLError) as problem:
        raise LichError(
            f"The data file {path} is not valid YAML ({problem}): correct it."
        ) from problem
    if not isinstance(data, dict):
        raise LichError(
            f"The data file {path} holds no `question: answer` lines: write one a line."
        )
    return public({str(key): value for key, value in data.items()})


def was_edited(text: str, answers: Mapping[str, Any]) -> bool:
    """Tell whether the fingerprint in an answers file, if it has one, is not of these answers."""
    import hashlib

    recorded = _FINGERPRINT.search(text)
    if recorded is None:
        return False
    # As the template computes it.
    content = json.dumps({**answers, "_src_path": ""}, sort_keys=True, default=str)
    return recorded[1] != hashlib.sha256(content.encode()).hexdigest()


def _question(name: str, details: Any) -> Question:
    if not isinstance(details, dict):
        details = {"default": details}
    kind = details.get("type") or _implied_type(details.get("default"))
    choices = details.get("choices") or ()
    values = list(choices.values() if isinstance(choices, dict) else choices)
    return Question(
        name,
        str(kind),
        # Choices that a template computes are for Copier to check.
        () if isinstance(choices, str) or "{{" in str(values) else tuple(map(_value, values)),
        many=bool(details.get("multiselect", False)),
        computed=details.get("when") is False,
        required="default" not in details,
    )


def _value(choice: Any) -> Any:
    return choice[1] if isinstance(choice, list) and len(choice) == 2 else choice


def _implied_type(default: Any) -> str:
    name = type(default).__name__
    return name if name in {"bool", "int", "float", "str"} else "yaml"


def _type_problem(kind: str, answer: Any) -> str | None:
    match kind:
        case "str" | "path":
            if isinstance(answer, bool) or not isinstance(answer, str | int | float):
                return "it must be text; put it in quotes"
        case "bool":
            if not isinstance(answer, bool) and str(answer).lower() not in _TRUE | _FALSE:
                return "it must be true or false"
        case "int" | "float":
            try:
                (int if kind == "int" else float)(answer)
            except (TypeError, ValueError):
                return "it must be a whole number" if kind == "int" else "it must be a number"
        case "json" if isinstance(answer, str):
            try:
                json.loads(answer)
            except ValueError:
                return "it must be JSON"
        case "yaml" if isinstance(answer, str):
            return _yaml_problem(answer)
    return None


def _yaml_problem(answer: str) -> str | None:
    import yaml

    try:
        parse_yaml(answer)
    except yaml.YAMLError:
        return "it must be YAML"
    return None
