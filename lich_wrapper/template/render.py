"""Renders the template: Copier gets plain files, without history, and starts no git process."""

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lich_wrapper.errors import LichError
from lich_wrapper.git import Git
from lich_wrapper.template.answers import ANSWERS_FILE, parse_yaml, read_config
from lich_wrapper.template.limits import bounded_time, check_written
from lich_wrapper.template.source import Source, Version

__all__ = ["Rendered", "export", "render"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered project: its folder, the answers that Copier recorded in it, its files."""

    folder: Path
    answers: Mapping[str, Any]
    # The paths of all files and links, relative and sorted.
    files: tuple[str, ...]


def export(source: Source, version: Version, folder: Path) -> None:
    """Write the files of one version of the template to a folder.

    The folder is new, or holds an earlier export: then git writes only what is not the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if version.dirty:
        _copy_work_tree(source, folder)
    else:
        index = str(folder.with_name(folder.name + ".index"))
        git = Git(source.repository, variables={"GIT_INDEX_FILE": index})
        git("--work-tree", str(folder), "read-tree", "--reset", "-u", version.commit)
    _record_origin(folder, source.url, version.name)


def render(
    template: Path,
    destination: Path,
    answers: Mapping[str, Any],
    *,
    ask: bool = False,
    exclude: tuple[str, ...] = (),
) -> Rendered:
    """Render an exported template.

    Answers in an answers file that the destination holds are kept; `ask` lets Copier ask for
    what is not answered, `exclude` adds patterns to the template's own. Raises LichError for
    whatever Copier refuses, for what no template may write or takes too long, and for a template
    that records no answers.
    """
    import copier

    with (
        warnings.catch_warnings(),
        _without_git(),
        _compiled_once(),
        _clear_errors(),
        bounded_time(),
    ):
        warnings.simplefilter("ignore")
        copier.run_copy(
            str(template),
            destination,
            data=dict(answers),
            exclude=exclude,
            # A user's own defaults are Copier's feature; their trust in templates is not ours.
            settings=copier.Settings(defaults=copier.load_settings().defaults),
            defaults=not ask,
            overwrite=True,
            quiet=True,
        )
    files = check_written(destination)
    recorded = destination / ANSWERS_FILE
    if ANSWERS_FILE not in files or recorded.is_symlink():
        raise LichError(
            f"The template writes no {ANSWERS_FILE}, so its projects cannot be updated: "
            "give another one with --template."
        )
    return Rendered(destination, parse_yaml(recorded.read_text(encoding="utf-8")), files)


def _copy_work_tree(source: Source, folder: Path) -> None:
    listed = source.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        # What git lists below a folder may be gone, and a link be in the folder's place.
        above = (source.repository / parent for parent in Path(name).parents)
        if any(map(Path.is_symlink, above)) or not os.path.lexists(source.repository / name):
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.repository / name, folder / name, follow_symlinks=False)


def _record_origin(template: Path, url: str, version: str) -> None:
    """Make the files that record where the template comes from record its true origin.

    Copier knows the origin of a git repository only. Given the origin by the exported files
    themselves, it writes the answers file as it does for the repository.
    """
    config = read_config(template)
    suffix = config.get("_templates_suffix", ".jinja")
    envops = config.get("_envops") or {}
    start = envops.get("block_start_string", "{%")
    end = envops.get("block_end_string", "%}")
    origin = json.dumps({"_commit": version, "_src_path": url}, ensure_ascii=False)
    prelude = (
        f"{start} set _commit, _src_path = {json.dumps(version)}, "
        f"{json.dumps(url, ensure_ascii=False)} {end}"
        f"{start} set _copier_answers = "
        f"dict(dict({origin}, **_copier_answers), **{origin}) {end}"
    ).encode()
    for folder, _, names in os.walk(template):
        for path in (Path(folder, name) for name in names if name.endswith(suffix)):
            if path.is_symlink() or not path.is_file():
                continue
            content = path.read_bytes()
            if any(word in content for word in (b"_copier_answers", b"_commit", b"_src_path")):
                path.write_bytes(prelude + content)


@contextmanager
def _without_git() -> Iterator[None]:
    # A folder outside git has no origin and no index to ask about, but Copier starts a git
    # process for the folder and one a file to find that out, unless there is no git at all.
    from plumbum import local

    with local.env(PATH=os.devnull):
        yield


@contextmanager
def _compiled_once() -> Iterator[None]:
    """Have Jinja compile a text once for each render.

    Copier compiles the names of the folders above a file, and of the answers file, again for every
    file, which is a quarter of the time that it takes.
    """
    from jinja2 import Environment

    compiled: dict[tuple[object, ...], Any] = {}
    compile_anew = Environment.compile

    def compile_once(self: Environment, source: Any, *more: Any, **named: Any) -> Any:
        if not isinstance(source, str) or more or named:
            return compile_anew(self, source, *more, **named)
        # Extensions may count on being called before each use of a template; Copier's own does.
        key = (self, self.preprocess(source))
        if key not in compiled:
            compiled[key] = compile_anew(self, source)
        return compiled[key]

    # Copier makes its environments itself, so only their class can be changed.
    Environment.compile = compile_once  # type: ignore[method-assign]
    try:
        yield
    finally:
        Environment.compile = compile_anew  # type: ignore[method-assign]


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what Copier and Jinja raise about the input into a LichError of one sentence."""
    import jinja2
    from copier.errors import CopierError, UnsafeTemplateError

    try:
        yield
    except KeyboardInterrupt:
        # Copier's own interrupt is an error of Copier too, and must stay an interrupt.
        raise
    except UnsafeTemplateError as problem:
        raise LichError(
            "The template wants to run commands or extensions, which lich never allows: "
            "use one without tasks and extensions, or Copier itself."
        ) from problem
    except jinja2.TemplateNotFound as problem:
        # Jinja's error is also an OSError.
        raise LichError(
            f"The template is broken: it includes {problem}, which is no file of it."
        ) from problem
    except OSError as problem:
        raise LichError(f"{problem.filename or 'A file'}: {problem.strerror}.") from problem
    except jinja2.TemplateError as problem:
        raise LichError(f"The template is broken: {problem}.") from problem
    except (CopierError, ValueError, TypeError) as problem:
        raise LichError(_in_one_sentence(str(problem))) from problem


def _in_one_sentence(problem: str) -> str:
    opening = "Validation error for question '"
    if problem.startswith(opening):
        name, _, reason = problem.removeprefix(opening).partition("': ")
        return f"{reason} (The question is {name}: answer it with -d {name}=VALUE.)"
    return problem or "Copier failed without a message (LICH_DEBUG=1 shows where)."
