"""The command line: options, errors on one line, and exit codes.

What a command needs is imported in it, so that `lich --help` imports click and little else.
"""

import gc
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lich_wrapper import report
from lich_wrapper.errors import Exit, LichError

if TYPE_CHECKING:
    from lich_wrapper.update.plan import Plan
    from lich_wrapper.update.project import Project, Recorded
    from lich_wrapper.update.route import Request

__all__ = ["cli", "main", "run"]


def main() -> NoReturn:
    """Run the command line and leave with one of the documented exit codes."""
    # A process this short ends before garbage collection would pay.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what the terminal's encoding, or any encoding, cannot.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _interrupt_once()
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code, with every error printed on one line."""
    try:
        result = cli.main(arguments, prog_name="lich", standalone_mode=False, color=report.colour())
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (KeyboardInterrupt, click.Abort):
        report.interrupted()
        return Exit.INTERRUPTED
    except LichError as problem:
        _trace()
        report.error(str(problem))
        return Exit.ERROR
    except Exception as problem:  # noqa: BLE001
        _trace()
        said = " ".join(str(problem).split()) or type(problem).__name__
        report.error(f"{said} (LICH_DEBUG=1 shows where it happened).")
        return Exit.ERROR
    return result if isinstance(result, int) else Exit.DONE


def _trace() -> None:
    if os.environ.get("LICH_DEBUG"):
        import traceback

        traceback.print_exc()


def _interrupt_once() -> None:
    """Turn the first SIGINT, SIGTERM or SIGHUP into KeyboardInterrupt, and ignore later ones.

    So whatever has to be cleaned up is cleaned up to its end.
    """
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


@contextmanager
def _workspace() -> Iterator[Path]:
    import tempfile

    from lich_wrapper.temporary import temporary_folder

    with temporary_folder("lich-run-", Path(tempfile.gettempdir())) as folder:
        yield folder


def _on_a_terminal() -> bool:
    # A stream is None if it was closed before the start.
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _answers(pairs: tuple[str, ...], task_runner: str | None) -> dict[str, Any]:
    """Return the answers that the options -d and -t give."""
    from lich_wrapper.template.answers import RUNNER, parse_pairs

    answers: dict[str, Any] = dict(parse_pairs(pairs))
    return answers if task_runner is None else answers | {RUNNER: task_runner}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lich-wrapper", prog_name="lich", message="%(prog)s %(version)s")
def cli() -> None:
    """Make a Python backend whose background workers work from the first minute.

    `lich init` makes a project, `lich update` brings it to a newer template or another task
    runner without losing your work.
    """


@cli.command(short_help="Make a new project.")
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
    from lich_wrapper.init import Destination, Request, create
    from lich_wrapper.template.answers import read_data_file
    from lich_wrapper.template.source import default_source, find_source

    answers = read_data_file(data_file) if data_file else {}
    answers |= _answers(pairs, task_runner)
    destination = Destination.check(dest)
    with _workspace() as workspace:
        source = find_source(template, workspace) if template else default_source(workspace)
        request = Request(
            source,
            source.version(vcs_ref),
            answers,
            ask=not defaults and not as_json and _on_a_terminal(),
            defaults=defaults,
            git=not no_git,
        )
        created = create(request, destination, workspace, dry_run=dry_run)
    with report.unread(done=not dry_run):
        report.created(created, dest, template, dry_run=dry_run, as_json=as_json)
    return Exit.DONE


@cli.command(short_help="Bring a project to a newer template or another task runner.")
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("-t", "--task-runner", metavar="temporal|celery|none", help="Switch to it.")
@click.option("-d", "--data", "pairs", metavar="KEY=VALUE", multiple=True, help="Change an answer.")
@click.option("-r", "--vcs-ref", metavar="REF", help="Go to this version of the template.")
@click.option("--latest", is_flag=True, help="Go to the newest release, also with new answers.")
@click.option("--template", metavar="SOURCE", help="Follow a template that has moved.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the result and the diff; write nothing.")
@click.option("--check", is_flag=True, help="Only tell whether an update exists (exit code 4).")
@click.option(
    "--branch",
    metavar="NAME",
    help="Commit the result on this branch, for a pull request, and describe it in Markdown.",
)
@click.option("--test", metavar="COMMAND", help="With --branch: try the result with a command.")
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
    branch: str | None,
    test: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Bring the project in PATH (default: the current folder) up to date.

    Without an option it goes to the newest release. -t and -d change answers at the version
    where the project is. Your work is merged by git; exit code 3 says that conflicts are left.
    """
    from lich_wrapper.template.source import find_source
    from lich_wrapper.update.lock import locked
    from lich_wrapper.update.project import Project, Recorded
    from lich_wrapper.update.route import Request, is_newest, newest, template_of

    if vcs_ref is not None and latest:
        raise click.UsageError("--vcs-ref and --latest exclude each other.")
    if branch is None and test is not None:
        raise click.UsageError("--test needs --branch.")
    if branch is not None and check:
        raise click.UsageError("--branch and --check exclude each other.")
    request = Request(_answers(pairs, task_runner), vcs_ref, latest, template)
    if branch is not None:
        return _update_branch(
            path, request, branch, test, dry_run=dry_run, yes=yes, as_json=as_json
        )
    if check:
        recorded = Recorded.read(path)
        with _workspace() as workspace:
            target = newest(recorded, find_source(template or template_of(recorded), workspace))
        with report.unread(done=False):
            report.check(recorded.version, target.name if target else None, as_json=as_json)
        return Exit.UPDATE_EXISTS if target else Exit.DONE
    try:
        project = Project.open(path)
    except LichError:
        # That it is no project at all is the better reason.
        Recorded.read(path)
        raise
    # What another update does until then belongs to the state from which this one starts.
    if click.get_current_context().with_resource(locked(project)) or project.journal.exists():
        _take_back(project, dry_run=dry_run)
        project = Project.open(path)
    recorded = Recorded.read(path)
    if request == Request() and is_newest(recorded):
        return _nothing(recorded.version, as_json=as_json)
    with _workspace() as workspace:
        plan = _planned(project, recorded, request, workspace, keep=not dry_run, clean=True)
        if plan is None:
            return _nothing(recorded.version, as_json=as_json)
        from lich_wrapper.update.plan import Kind

        problem = plan.problem(accept_removals=yes)
        copies: tuple[str, ...] = ()
        applied = not dry_run and not problem
        if applied:
            copies = plan.apply()
    with report.unread(done=applied):
        for copy in copies:
            report.note(f"what was saved during the update is in {copy}.")
        report.plan(plan, path, problem, dry_run=dry_run, as_json=as_json)
    if problem:
        raise LichError(problem)
    return Exit.CONFLICTS if plan.of(Kind.CONFLICTING) else Exit.DONE


def _update_branch(
    path: Path,
    request: "Request",
    name: str,
    test: str | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Commit an update of the last commit on a branch; the work tree plays no part in it."""
    from lich_wrapper.update.branch import commit, run_tests
    from lich_wrapper.update.plan import Kind
    from lich_wrapper.update.project import Project

    project = Project.open(path)
    recorded = project.recorded()
    with _workspace() as workspace:
        plan = _planned(project, recorded, request, workspace, keep=not dry_run, clean=False)
        if plan is None:
            return _nothing(recorded.version, as_json=as_json)
        branch = tested = None
        conflicts = plan.of(Kind.CONFLICTING)
        if not dry_run:
            index = workspace / "branch.index"
            branch = commit(plan, name, index)
            # Between the markers of a conflict there is nothing to test yet.
            if test is not None and not conflicts:
                tested = run_tests(project, index, workspace / "tested", test)
    with report.unread(done=not dry_run):
        report.proposal(plan, name, branch, tested, as_json=as_json)
    needs_a_person = conflicts or (plan.of(Kind.REMOVED_EDITED) and not yes)
    return Exit.CONFLICTS if needs_a_person else Exit.DONE


def _planned(
    project: "Project",
    recorded: "Recorded",
    request: "Request",
    workspace: Path,
    *,
    keep: bool,
    clean: bool,
) -> "Plan | None":
    """Compute an update, or return None if there is nothing to do.

    `keep` stores the result among the project's objects; `clean` refuses uncommitted changes.
    """
    from lich_wrapper.update.route import find_route

    route = find_route(recorded, request, workspace)
    if route is None:
        return None
    if clean:
        project.require_clean()
    from lich_wrapper.update.plan import plan_update

    plan = plan_update(project, route, request, workspace, keep=keep)
    return None if plan.is_empty else plan


def _nothing(version: str, *, as_json: bool) -> int:
    with report.unread(done=False):
        report.nothing(version, as_json=as_json)
    return Exit.DONE


def _take_back(project: "Project", *, dry_run: bool) -> None:
    """Take an interrupted update back, if there is one, and tell what was done."""
    from lich_wrapper.update.journal import roll_back

    repair = roll_back(project, dry_run=dry_run)
    if dry_run and repair.is_needed:
        raise LichError(
            "An update was interrupted: without --dry-run, `lich update` first takes it back "
            f"({repair})."
        )
    if repair.is_needed:
        report.note("an update that was interrupted is taken back first.")
    for copy in repair.copies:
        report.note(f"what was saved during the update is in {copy}.")


@cli.command(hidden=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script: eval "$(lich completion bash)" in your shell's start file."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is not None:
        click.echo(script(cli, {}, "lich", "_LICH_COMPLETE").source())
