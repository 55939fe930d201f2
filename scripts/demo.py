"""Generate a project, start its development stack, and let it do one job.

Usage: python scripts/demo.py [temporal|celery|none]
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

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
    parser.add_argument(
        "runner", nargs="?", default="temporal", choices=["temporal", "celery", "none"]
    )
    runner: str = parser.parse_args().runner
    # The stop signal of a supervisor ends the demonstration as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    step = ""
    try:
        step = say("1/5", "generating a project with `lich init`")
        project = generate(runner)
        step = say("2/5", "installing it")
        install(project)
        step = say("3/5", "starting its development stack")
        with stack(project, runner) as running:
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


def generate(runner: str) -> Path:
    """Make a project in a fresh folder below `demo/`."""
    names = [runner, *(f"{runner}-{number}" for number in range(2, 1000))]
    project = next(path for name in names if not (path := ROOT / "demo" / name).exists())
    # The project must run on the Python at hand, which may be older than the default.
    floor = min((3, 12), sys.version_info[:2])
    python_version = f"python_version={floor[0]}.{floor[1]}"
    lich = [sys.executable, "-m", "lich_wrapper"]
    run([*lich, "init", project, "-t", runner, "-l", "-d", python_version], ROOT)
    return project


def find_uv() -> str | None:
    """Return the path of uv, if there is one."""
    return shutil.which("uv") or shutil.which("uv", path=str(BIN))


def install(project: Path) -> None:
    """Install the project and its development tools into its own environment."""
    uv = find_uv()
    if uv:
        run([uv, "sync", "--quiet", "--python", sys.executable], project)
    else:
        run([sys.executable, "-m", "venv", ".venv"], project)
        pip = [project / ".venv/bin/python", "-m", "pip", "install", "--quiet"]
        run([*pip, "--upgrade", "pip"], project)
        run([*pip, "--editable", ".", "--group", "dev"], project)


def start_command(project: Path) -> str:
    """Say how a person starts the stack."""
    return "uv run honcho start" if shutil.which("uv") else ". .venv/bin/activate && honcho start"


def run(command: list[str | Path], folder: Path) -> None:
    """Run a command to its end; what it printed is shown only if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        words = " ".join(map(str, command))
        raise StepFailed(f"`{words}` ended with {done.returncode}:\n{done.stdout.strip()}")


@contextmanager
def stack(project: Path, runner: str) -> Iterator[Stack]:
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
        except StepFailed as failure:
            lines = log.read_text(errors="replace").splitlines()[-30:]
            raise StepFailed("\n".join([str(failure), f"the end of {log}:", *lines])) from failure
        finally:
            stop(honcho)


def stop(honcho: subprocess.Popen[bytes]) -> None:
    """End the stack as Ctrl-C does; it stops what it started."""
    if honcho.poll() is None:
        honcho.send_signal(signal.SIGINT)
    try:
        honcho.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        honcho.kill()
        honcho.wait()
        raise StepFailed(f"the stack did not stop within {STOP_TIMEOUT:.0f} s") from None


def free_port(preferred: int, also: int = 0) -> int:
    """Return the preferred port, or any other that is free, with the one `also` above it."""
    while not (is_free(preferred) and is_free(preferred + also)):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            preferred = probe.getsockname()[1]
    return preferred


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until_ready(running: Stack, honcho: subprocess.Popen[bytes]) -> None:
    """Wait until the API says that jobs can be enqueued."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if honcho.poll() is not None:
            raise StepFailed(f"the stack ended with {honcho.returncode}")
        try:
            request(f"{running.api}/readyz")
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise StepFailed(f"the API was not ready within {START_TIMEOUT:.0f} s")


def do_one_job(running: Stack) -> object:
    """Post an e-mail, wait for its end, and return the finished job."""
    email = {"to": "ada@example.com", "subject": "Hello", "body": "It works."}
    accepted = request(f"{running.api}/jobs/email", email)
    deadline = time.monotonic() + JOB_TIMEOUT
    while time.monotonic() < deadline:
        job = request(running.api + str(accepted["url"]))
        if job["state"] == "succeeded":
            return job
        if job["state"] in ("failed", "cancelled"):
            raise StepFailed(f"the job ended otherwise: {job}")
        time.sleep(0.1)
    raise StepFailed(f"the job was not done within {JOB_TIMEOUT:.0f} s: {job}")


def request(url: str, body: object = None) -> dict[str, object]:
    """GET, or POST a body as JSON, and return the answer."""
    data = None if body is None else json.dumps(body).encode()
    message = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(message, timeout=10) as answer:
            content: dict[str, object] = json.load(answer)
            return content
    except urllib.error.HTTPError as error:
        if error.code == 503:
            raise
        raise StepFailed(f"{url} answered {error.code}: {error.read().decode()}") from error


if __name__ == "__main__":
    sys.exit(main())
