"""The command line: options in, one clear line or a report out, and the exit codes."""

import contextlib
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from lich_wrapper.errors import Exit, LichError

__all__ = ["cli", "main", "run"]


def main() -> NoReturn:
    """Run the command line and leave with one of the documented exit codes."""
    # A process this short ends before collecting garbage would pay.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what the terminal's encoding, or any encoding, cannot.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with _interrupts_once():
        sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code, with every failure told on one line."""
    try:
        result = cli.main(arguments, prog_name="lich", standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return Exit.INTERRUPTED
    except LichError as problem:
        _trace()
        click.secho("Error: ", fg="red", bold=True, nl=False, err=True, color=_colour())
        click.echo(str(problem), err=True)
        return Exit.ERROR
    except BrokenPipeError:
        # Whoever read our output has seen enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception as problem:  # noqa: BLE001
        _trace()
        said = " ".join(str(problem).split()) or type(problem).__name__
        click.echo(f"Error: {said} (LICH_DEBUG=1 shows where it happened).", err=True)
        return Exit.ERROR
    return result if isinstance(result, int) else Exit.DONE


def _trace() -> None:
    if os.environ.get("LICH_DEBUG"):
        import traceback

        traceback.print_exc()


def _colour() -> bool | None:
    return False if os.environ.get("NO_COLOR") else None


@contextlib.contextmanager
def _interrupts_once() -> Iterator[None]:
    """Make the first interrupt unwind everything, and nothing disturb the unwinding."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        signals.append(signal.SIGHUP)
    caught = [s for s in signals if signal.getsignal(s) is not signal.SIG_IGN]

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for other in caught:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in caught:
        signal.signal(number, interrupt)
    yield


@contextlib.contextmanager
def _workspace() -> Iterator[Path]:
    # Imported here, like all that `lich --help` can do without.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="lich-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class _Commands(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        ctx.color = _colour()
        return super().get_command(ctx, cmd_name)


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"lich {version('lich-wrapper')}")
    except PackageNotFoundError:
        click.echo("lich (not installed)")
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Make a Python backend whose background workers work from the first minute.

    `lich init` makes a project, `lich update` brings it to a newer template or another task
    runner without losing your work.
    """


@cli.command()
@click.argument("dest", default=".", type=click.Path())
@click.option(
    "-t",
    "--task-runner",
    metavar="temporal|celery|none",
    help="Who does the background work.",
)
@click.option(
    "-d", "--data", "pairs", metavar="KEY=VALUE", multiple=True, help="Answer a question."
)
@click.option(
    "--data-file", type=click.Path(path_type=Path), help="Answer questions from a YAML file."
)
@click.option("-l", "--defaults", is_flag=True, help="Never ask: take defaults for the rest.")
@click.option("-r", "--vcs-ref", metavar="REF", help="A tag, branch or commit of the template.")
@click.option(
    "--template",
    metavar="SOURCE",
    envvar="LICH_TEMPLATE",
    show_envvar=True,
    help="A folder or URL of another template.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be written; write nothing.")
@click.option("--no-git", is_flag=True, help="Make no git repository.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for a program.")
def init(
    dest: str,
    task_runner: str | None,
    pairs: tuple[str, ...],
    data_file: Path | None,
    defaults: bool,
    vcs_ref: str | None,
    template: str | None,
    dry_run: bool,
    no_git: bool,
    as_json: bool,
) -> int:
    """Make a new project in DEST (default: the current folder, if it is empty).

    What no option answers is asked on a terminal. Parents of DEST are made if they are missing.
    """
    import json

    from lich_wrapper.init import Place, Request, create
    from lich_wrapper.template.answers import RUNNER, parse_pairs, read_data_file
    from lich_wrapper.template.source import default_source, find_source

    answers: dict[str, Any] = read_data_file(data_file) if data_file else {}
    answers |= parse_pairs(pairs)
    if task_runner is not None:
        answers[RUNNER] = task_runner
    place = Place.check(dest)
    with _workspace() as workspace:
        source = find_source(template, workspace) if template else default_source(workspace)
        version = source.version(vcs_ref)
        request = Request(
            source,
            version,
            answers,
            ask=not defaults and not as_json and sys.stdin.isatty() and sys.stdout.isatty(),
            defaults=defaults,
            git=not no_git,
        )
        created = create(request, place, workspace, dry_run=dry_run)
    command = _recreate(dest, created.answers, version.name, template)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "dry_run": dry_run,
                    "destination": str(place.path),
                    "template": {
                        "source": source.url,
                        "version": version.name,
                        "commit": version.commit,
                    },
                    "answers": _public(created.answers),
                    "files": created.files,
                    "commit": created.commit,
                    "notes": created.notes,
                    "command": command,
                },
                ensure_ascii=False,
                indent=2,
                default=str,
            )
        )
        return Exit.DONE
    for note in created.notes:
        click.echo(f"Note: {note}", err=True)
    if dry_run:
        click.echo(f"{place.path}/ (nothing is written)")
        click.echo("\n".join(_tree(created.files)))
        return Exit.DONE
    click.secho(f"{created.answers.get('project_name', dest)} is ready.", fg="green", bold=True)
    click.echo("\nNext:")
    steps = ["uv sync", "uv run honcho start", "uv run pytest"]
    if place.path != Path.cwd():
        import shlex

        steps.insert(0, shlex.join(["cd", dest]))
    for step in steps:
        click.echo(f"  {step}")
    click.echo(f"\nThe same project again:\n  {command}")
    return Exit.DONE


def _public(answers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer for name, answer in answers.items() if not name.startswith("_")}


def _recreate(dest: str, answers: Mapping[str, Any], version: str, template: str | None) -> str:
    import shlex

    words = ["lich", "init", dest]
    for name, answer in _public(answers).items():
        if name == "task_runner":
            words[3:3] = ["-t", str(answer)]
        else:
            words += ["-d", f"{name}={answer}"]
    if template:
        words += ["--template", template]
    return shlex.join([*words, "-r", version, "-l"])


def _tree(files: tuple[str, ...]) -> Iterator[str]:
    root: dict[str, Any] = {}
    for file in files:
        folder = root
        *parents, name = file.split("/")
        for parent in parents:
            folder = folder.setdefault(parent, {})
        folder[name] = {}

    def lines(folder: dict[str, Any], margin: str) -> Iterator[str]:
        for number, (name, below) in enumerate(folder.items(), start=1):
            last = number == len(folder)
            yield f"{margin}{'└── ' if last else '├── '}{name}{'/' if below else ''}"
            yield from lines(below, margin + ("    " if last else "│   "))

    yield from lines(root, "")


@cli.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("-t", "--task-runner", metavar="temporal|celery|none", help="Switch to it.")
@click.option("-d", "--data", "pairs", metavar="KEY=VALUE", multiple=True, help="Change an answer.")
@click.option("-r", "--vcs-ref", metavar="REF", help="Go to this version of the template.")
@click.option("--latest", is_flag=True, help="Go to the newest release, also with new answers.")
@click.option("--template", metavar="SOURCE", help="Follow a template that has moved.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the result and the diff; write nothing.")
@click.option("--check", is_flag=True, help="Only tell whether an update exists (exit code 4).")
@click.option("--yes", is_flag=True, help="Accept that files which you edited are removed.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for a program.")
def update(
    path: Path,
    task_runner: str | None,
    pairs: tuple[str, ...],
    vcs_ref: str | None,
    latest: bool,
    template: str | None,
    dry_run: bool,
    check: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Bring the project in PATH (default: the current folder) up to date.

    Without an option it goes to the newest release. -t and -d change answers at the version
    where the project is. Your work is merged by git; exit code 3 says that conflicts are left.
    """
    from lich_wrapper import report
    from lich_wrapper.template.answers import RUNNER, parse_pairs
    from lich_wrapper.template.source import find_source
    from lich_wrapper.update.project import Project, Recorded
    from lich_wrapper.update.route import Wish, find_route, is_newest, newest, template_of

    if vcs_ref is not None and latest:
        raise click.UsageError("--vcs-ref and --latest exclude each other.")
    answers: dict[str, Any] = dict(parse_pairs(pairs))
    if task_runner is not None:
        answers[RUNNER] = task_runner
    wish = Wish(answers, vcs_ref, latest, template)
    recorded = Recorded.read(path)
    if check:
        with _workspace() as workspace:
            target = newest(recorded, find_source(template or template_of(recorded), workspace))
        report.check(recorded.version, target.name if target else None, as_json=as_json)
        return Exit.UPDATE_EXISTS if target else Exit.DONE
    project = Project.open(path)
    if project.journal.exists():
        from lich_wrapper.update.apply import repair

        if repair(project):
            click.echo("Note: an update that was interrupted is taken back first.", err=True)
        recorded = Recorded.read(path)
    if wish == Wish({}) and is_newest(recorded):
        report.nothing(recorded.version, as_json=as_json)
        return Exit.DONE
    with _workspace() as workspace:
        route = find_route(recorded, wish, workspace)
        if route is None:
            report.nothing(recorded.version, as_json=as_json)
            return Exit.DONE
        from lich_wrapper.update.plan import Kind, plan_update

        project.require_quiet()
        plan = plan_update(project, route, wish, workspace, keep=not dry_run)
        if plan.is_empty:
            report.nothing(recorded.version, as_json=as_json)
            return Exit.DONE
        problem = plan.problem(removals=yes)
        if not dry_run and not problem:
            plan.apply()
    report.plan(plan, path, problem, dry_run=dry_run, as_json=as_json, colour=_colour())
    if problem:
        raise LichError(problem)
    return Exit.CONFLICTS if plan.of(Kind.CONFLICTING) else Exit.DONE


@cli.command(hidden=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script: eval "$(lich completion bash)" in your shell's start file."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is not None:
        click.echo(script(cli, {}, "lich", "_LICH_COMPLETE").source())
