"""Generate a project, start its development stack, and let it do one job.

Usage: python -m scripts.demo [temporal|celery|none] [sqlite|postgresql]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit import processes
from tests.kit.ports import free_port
from tests.kit.processes import user_environment
from tests.kit.repository import DATABASES, LICH, PYTHON_VERSION, ROOT, RUNNERS, find_tool
from tests.kit.waiting import until
from tests.kit.web import request, status

START_TIMEOUT = 60.0
JOB_TIMEOUT = 60.0
STOP_TIMEOUT = 45.0


class StepFailed(Exception):
    """A step of the demonstration failed: its text says why."""


@dataclass(frozen=True)
class Stack:
    """Where a started development stack is found."""

    api: str
    ui: str | None


def main() -> int:
    """Run the steps in turn, and say which one failed."""
    parser = argparse.ArgumentParser(description="Generate a project and see it do one job.")
    parser.add_argument("runner", nargs="?", default="temporal", choices=RUNNERS)
    parser.add_argument("database", nargs="?", default="sqlite", choices=DATABASES)
    options = parser.parse_args()
    runner, database = str(options.runner), str(options.database)
    # The stop signal of a supervisor ends the demonstration as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    step = ""
    try:
        step = say("1/5", "generating a project with `lich init`")
        project = generate(runner, database)
        step = say("2/5", "installing it")
        install(project)
        step = say("3/5", "starting its development stack")
        with stack(project, runner, database) as running:
            step = say("4/5", "posting one job to its API")
            job = do_one_job(running)
            step = say("5/5", "stopping everything")
    except (StepFailed, OSError) as failure:
        print(f"\nStep {step} failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted in step {step}; everything is stopped.", file=sys.stderr)
        return 130
    print(f"\nThe job is done: {json.dumps(job)}")
    if running.ui:
        print(f"While the stack runs, its web UI is at {running.ui}")
    print(f"The project: {project}")
    print(f"Start it again: cd {project.relative_to(ROOT)} && {start_command(project)}")
    return 0


def say(number: str, what: str) -> str:
    """Show the progress, and return the step's name."""
    print(f"[{number}] {what} ...", flush=True)
    return f"{number} ({what})"


def generate(runner: str, database: str) -> Path:
    """Make a project in a fresh folder below `demo/`."""
    name = runner if database == "sqlite" else f"{runner}-{database}"
    names = [name, *(f"{name}-{number}" for number in range(2, 1000))]
    project = next(path for name in names if not (path := ROOT / "demo" / name).exists())
    answers = ("-d", f"python_version={PYTHON_VERSION}", "-d", f"database={database}")
    run(*LICH, "init", project, "-t", runner, "-l", *answers, cwd=ROOT)
    return project


def install(project: Path) -> None:
    """Install the project and its development tools into its own environment."""
    uv = find_tool("uv")
    if uv:
        run(uv, "sync", "--quiet", "--python", sys.executable, cwd=project)
    else:
        run(sys.executable, "-m", "venv", ".venv", cwd=project)
        pip = (project / ".venv/bin/python", "-m", "pip", "install", "--quiet")
        run(*pip, "--upgrade", "pip", cwd=project)
        run(*pip, "--editable", ".", "--group", "dev", cwd=project)


def start_command(project: Path) -> str:
    """Say how a person starts the stack."""
    return "uv run honcho start" if shutil.which("uv") else ". .venv/bin/activate && honcho start"


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command to its end; what it printed is shown only if it fails."""
    try:
        processes.run(*command, cwd=cwd, environment=user_environment())
    except processes.CommandFailed as failure:
        raise StepFailed(str(failure)) from failure


@contextmanager
def stack(project: Path, runner: str, database: str) -> Iterator[Stack]:
    """Run the project's own `honcho start`, and stop all of it at the end."""
    api_port = free_port(8000)
    ui = None
    environment = dict(os.environ)
    environment["PATH"] = f"{project / '.venv/bin'}{os.pathsep}{environment['PATH']}"
    environment["VIRTUAL_ENV"] = str(project / ".venv")
    environment["API_PORT"] = str(api_port)
    if runner == "temporal":
        port = free_port(7233, also=1000)
        ui = f"http://127.0.0.1:{port + 1000}"
        environment["TEMPORAL_ADDRESS"] = f"127.0.0.1:{port}"
    elif runner == "celery":
        port = free_port(6379)
        environment["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
        environment["CELERY_RESULT_BACKEND"] = f"redis://127.0.0.1:{port}/1"
    if database == "postgresql":
        environment["DATABASE_URL"] = f"postgresql://demo@127.0.0.1:{free_port(5432)}/demo"
    log = project / "data/honcho.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as output:
        honcho = subprocess.Popen(
            [project / ".venv/bin/honcho", "start"], cwd=project, env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            running = Stack(f"http://127.0.0.1:{api_port}", ui)
            wait_until_ready(running, honcho)
            yield running
        except (StepFailed, OSError) as failure:
            lines = log.read_text(errors="replace").splitlines()[-30:]
            raise StepFailed("\n".join([str(failure), f"the end of {log}:", *lines])) from failure
        finally:
            # As Ctrl-C does: it stops what it started. Once more if need be, for honcho's handler
            # fails if the signal comes while honcho prints a line of its processes.
            processes.stop(honcho, signal.SIGINT, timeout=STOP_TIMEOUT, again=15)


def wait_until_ready(running: Stack, honcho: subprocess.Popen[bytes]) -> None:
    """Wait until the API says that jobs can be enqueued."""

    def ready() -> bool:
        if honcho.poll() is not None:
            raise StepFailed(f"the stack ended with {honcho.returncode}")
        return status(f"{running.api}/readyz") == 200

    until(ready, START_TIMEOUT, describe=lambda: "the API was not ready")


def do_one_job(running: Stack) -> object:
    """Post an e-mail, wait for its end, and return the finished job."""
    email = {"to": "ada@example.com", "subject": "Hello", "body": "It works."}
    accepted = request(f"{running.api}/jobs/email", email)

    def finished() -> dict[str, object] | None:
        job = request(running.api + str(accepted["url"]))
        if job["state"] in ("failed", "cancelled"):
            raise StepFailed(f"the job ended otherwise: {job}")
        return job if job["state"] == "succeeded" else None

    return until(finished, JOB_TIMEOUT, describe=lambda: "the job was not done")


if __name__ == "__main__":
    sys.exit(main())
