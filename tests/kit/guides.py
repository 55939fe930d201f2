"""A reader who does what a guide says, block by block.

Every block is run for real, compared with the file it shows, or written into the project; a
block of a kind that is not known is an error. Only ports, the placeholders `ID` and `RUNNER`, and
what needs an engine of containers are not taken literally.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import yaml

from tests.kit import processes
from tests.kit.markdown import Block, blocks
from tests.kit.ports import free_port, listens
from tests.kit.postgresql import is_ready
from tests.kit.processes import user_environment
from tests.kit.repository import IN_PROJECT, LANGUAGES, ROOT, tool
from tests.kit.waiting import until
from tests.kit.web import request, status

Guides = dict[str, dict[str, str]]
"""The text of each guide in each language."""

TIMEOUT = 120.0
ENGINE, DATABASE, WORKER, BEAT, API = "engine", "database", "worker", "beat", "api"

ENDED = {"succeeded", "failed", "cancelled"}

# The commands that run until they are stopped, and what of the project they run.
SERVERS = {
    "uv run honcho start": {ENGINE, WORKER, BEAT, API},
    "uv run honcho start engine": {ENGINE},
    "uv run honcho start database": {DATABASE},
    "python -m internal.workers.main": {WORKER},
    "celery -A internal.celery_app worker -l INFO": {WORKER},
    "celery -A internal.celery_app beat -l INFO": {BEAT},
    "uvicorn api.main:app": {API},
}

# What takes long and is run elsewhere in this suite, in a project just like this one.
ELSEWHERE = {
    "uv run pytest": "tests/generated/test_projects.py",
    "uv run mypy": "tests/generated/test_projects.py",
    "sh deploy/backup.sh backups/monday": "tests/containers/test_backup.py",
    "sh deploy/restore.sh backups/monday": "tests/containers/test_backup.py",
}


class Untrue(AssertionError):
    """What the guide says is not true."""


@dataclass(frozen=True)
class Server:
    """A command that runs until it is stopped, and what of the project it runs."""

    process: subprocess.Popen[bytes]
    roles: set[str]
    project: Path
    script: str


@dataclass
class Reader:
    """Follows guides in a project, with `lich`, `uv` and the usual tools."""

    project: Path
    tools: Path
    port: int
    environment: dict[str, str]
    runner: str
    servers: list[Server] = field(default_factory=list)
    job: str | None = None
    """The job that was last accepted."""
    aside: bool = False

    @classmethod
    @contextmanager
    def reading(cls, project: Path, tools: Path, runner: str) -> Iterator[Self]:
        """Yield a reader of a project, whose servers have ports of their own; stop what still runs.

        `tools` is a folder with the commands (`tools_in`).
        """
        port = free_port()
        engine = free_port(also=1000)
        folder = tools.parent / "curl"
        folder.mkdir(exist_ok=True)
        # Without this, a refusal by the API would be a success to curl.
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\nwrite-out \\n\n")
        environment = user_environment()
        environment |= {
            "PATH": f"{tools}{os.pathsep}{environment['PATH']}",
            "CURL_HOME": str(folder),
            "UV_PYTHON": sys.executable,
            "API_PORT": str(port),
            "UVICORN_PORT": str(port),
            **engine_of(runner, engine),
        }
        person = cls(project, tools, port, environment, runner)
        try:
            yield person
        finally:
            for server in person.servers:
                stop(server.process)

    def follow(self, text: str, name: str) -> None:
        """Do all that a guide says, from its first line to its last."""
        self.aside = False
        for block in blocks(text):
            try:
                self.do(block)
            except (AssertionError, OSError, ValueError) as error:
                raise Untrue(f"{name}, line {block.line}:\n{block.text}{error}") from error

    def do(self, block: Block) -> None:
        """Do what one block says."""
        match block:
            case Block(language="bash"):
                self.shell(block.text)
            case Block(language="diff", file=str(file)):
                path = self.project / file
                path.write_text(edited(path.read_text(), block.text))
            case Block(language="python", file=str(file)):
                self.show(self.project / file, block.text)
            case Block(language="python"):
                program = str(IN_PROJECT / "guide_block.py")
                self.run(["uv", "run", "python", program, block.text], PYTHONPATH=str(self.project))
            case _:
                raise Untrue(f"a block of an unknown kind: {block.language!r}")

    def show(self, path: Path, text: str) -> None:
        """Compare code with the file that it is said to be in; a new file is written."""
        if not path.exists():
            path.write_text(text)
        elif text not in path.read_text():
            raise Untrue(f"{path.relative_to(self.project)} has no such lines")

    def shell(self, script: str) -> None:
        """Run the commands, or leave them running until others take their place."""
        *_, last = script.strip().splitlines()
        if "docker compose" in script:
            self.containers(script)
        elif last in SERVERS:
            self.serve(script, SERVERS[last])
        else:
            if "lich update" in script:
                self.commit()
            if "lich update" in script and "-d database=" not in script:
                self.set_aside()
            answers = self.run(["bash", "-euo", "pipefail", "-c", self.literally(script)])
            self.wait_for_jobs(answers)

    def literally(self, script: str) -> str:
        """Put in what the reader has to: this machine's ports, a job's id, another runner."""
        script = script.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        if "jobs/ID/retry" in script:
            script = script.replace("jobs/ID/retry", f"jobs/{self.failed_job()}/retry")
        if "jobs/ID/cancel" in script:
            script = script.replace("jobs/ID/cancel", f"jobs/{self.long_job()}/cancel")
        if "jobs/ID" in script:
            script = script.replace("jobs/ID", f"jobs/{self.job}")
        other = {"temporal": "celery", "celery": "none", "none": "temporal"}
        script = "\n".join(
            line for line in script.splitlines() if without_comment(line) not in ELSEWHERE
        )
        return re.sub(r"-t RUNNER\b", f"-t {other[self.runner]}", script)

    def run(self, command: Sequence[str], **variables: str) -> str:
        """Run a command to its end, which must be a good one, and return what it printed."""
        environment = self.environment | variables
        return processes.run(*command, cwd=self.project, environment=environment, timeout=TIMEOUT)

    def serve(self, script: str, roles: set[str]) -> None:
        """Start what runs on, in the place of what ran the same before.

        What a guide before this one has started by the same commands still runs.
        """
        for server in self.servers:
            same = (server.project, server.script) == (self.project, script)
            if same and server.process.poll() is None:
                until(lambda: self.serves(roles), TIMEOUT)
                return
        for server in self.servers:
            if roles & server.roles:
                stop(server.process)
        if DATABASE in roles:
            self.environment["DATABASE_URL"] = f"postgresql://app@127.0.0.1:{free_port()}/app"
        self.servers = [server for server in self.servers if not roles & server.roles]
        *before, last = script.strip().splitlines()
        log = self.project.parent / f"{len(list(self.project.parent.glob('*.log')))}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", "\n".join([*before, f"exec {last}"])],
                cwd=self.project, env=self.environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.servers.append(Server(process, roles, self.project, script))

        def printed() -> str:
            return log.read_text(errors="replace")[-2000:]

        def serves() -> bool:
            assert process.poll() is None, f"it ended with {process.returncode}:\n{printed()}"
            return self.serves(roles)

        until(serves, TIMEOUT, describe=printed)

    def serves(self, roles: set[str]) -> bool:
        """Tell whether what was started can be used."""
        running = {role for server in self.servers for role in server.roles}
        if API in roles:
            return status(f"http://127.0.0.1:{self.port}/readyz") == 200 or (
                ENGINE not in running and status(f"http://127.0.0.1:{self.port}/livez") == 200
            )
        if ENGINE in roles and "ENGINE_PORT" in self.environment:
            return listens(int(self.environment["ENGINE_PORT"]))
        if DATABASE in roles:
            return is_ready(self.environment["DATABASE_URL"])
        return True

    def containers(self, script: str) -> None:
        """Check a command for containers against the compose file; running it needs an engine."""
        services = yaml.safe_load((self.project / "compose.yaml").read_text())["services"]
        for line in script.strip().splitlines():
            if inside := re.match(r"docker compose exec --no-TTY (\S+) \S", line):
                assert inside[1] in services, f"compose.yaml has no service {inside[1]}"
                continue
            found = re.fullmatch(r"docker compose (?:--profile (\w+) )?(up|down|build)( .*)?", line)
            assert found, f"not a command that is checked: {line}"
            words = (found[3] or "").split()
            named = [word.partition("=")[0] for word in words if not word.startswith("-")]
            unknown = set(named) - set(services)
            assert not unknown, f"compose.yaml has no service {unknown}"
            options = {word for word in words if word.startswith("-")}
            assert options <= {"--build", "--detach", "--scale", "--wait"}, options
        if (
            shutil.which("docker", path=self.environment["PATH"])
            and not subprocess.run(
                ["docker", "compose", "version"], capture_output=True, check=False
            ).returncode
        ):
            self.run(["docker", "compose", "config", "--quiet"])

    def commit(self) -> None:
        """Commit the work, as the guide asks before an update; nothing of it may be in its way."""
        self.run(["git", "add", "--all"])
        if self.run(["git", "status", "--porcelain"]):
            self.run(["git", "commit", "--quiet", "-m", "My work"])

    def set_aside(self) -> None:
        """Go back to the project as it was made.

        What becomes of edited files of a runner is tested with `lich update` itself.
        """
        if not self.aside:
            first = self.run(["git", "rev-list", "--max-parents=0", "HEAD"]).strip()
            self.run(["git", "switch", "--quiet", "--detach", first])
            self.aside = True

    def wait_for_jobs(self, output: str) -> None:
        """Wait for the good end of the jobs that were accepted."""
        for answer in re.findall(r'\{"id":"[^"]+","url":"[^"]+"\}', output):
            self.job = json.loads(answer)["id"]
            assert self.job
            self.wait(self.job, {"succeeded"})

    def wait(self, job: str, states: set[str]) -> None:
        """Wait until a job is in one of the states."""

        def is_there() -> bool:
            known = request(f"http://127.0.0.1:{self.port}/jobs/{job}")
            assert known["state"] not in ENDED - states, known
            return known["state"] in states

        until(is_there, TIMEOUT, describe=lambda: f"{job} is in one of the states {states}")

    def failed_job(self) -> str:
        """Return the id of a job that has failed, and can succeed now."""
        path = self.project / "data/imports/late.csv"
        job = self.enqueue_import(path.name)
        self.wait(job, {"failed"})
        path.write_text("email,name\nlate@example.com,Late\n")
        return job

    def long_job(self) -> str:
        """Return the id of a job that runs for long."""
        path = self.project / "data/imports/long.csv"
        rows = "".join(f"{number}@example.com,{number}\n" for number in range(100_000))
        path.write_text(f"email,name\n{rows}")
        job = self.enqueue_import(path.name)
        self.wait(job, {"running"})
        return job

    def enqueue_import(self, name: str) -> str:
        """Let a file be imported."""
        accepted = request(f"http://127.0.0.1:{self.port}/jobs/import", {"file": name})
        return str(accepted["id"])


def tools_in(folder: Path) -> Path:
    """Fill a folder with the commands that a reader needs, and nothing else of this environment."""
    folder.mkdir(parents=True)
    for name in ("lich", "uv", "uvx", "copier"):
        (folder / name).symlink_to(tool(name))
    return folder


def our_guides() -> Guides:
    """Return the text of the repository's own README and of each page in each language."""
    readmes = {"en": (ROOT / "README.md").read_text(), "fa": (ROOT / "README.fa.md").read_text()}
    names = {path.name for language in LANGUAGES for path in (ROOT / "docs" / language).iterdir()}
    return {"README.md": readmes} | {
        f"docs/{name}": {
            language: (ROOT / "docs" / language / name).read_text() for language in LANGUAGES
        }
        for name in sorted(names)
    }


def without_comment(line: str) -> str:
    """Return a command without its comment."""
    return re.sub(r"\s+#.*", "", line).strip()


def edited(text: str, diff: str) -> str:
    """Return the text with the changes of a diff, whose parts `@@` divides."""
    for part in diff.split("@@\n"):
        lines = part.splitlines(keepends=True)
        if wrong := [line for line in lines if line[0] not in " +-\n"]:
            raise Untrue(f"not a line of a diff: {wrong[0]}")
        # An empty line of the file may lack the space before it, as editors leave it.
        lines = [line if line != "\n" else " \n" for line in lines]
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        if text.count(old) != 1:
            raise Untrue(f"the file has these lines {text.count(old)} times, not once:\n{old}")
        text = text.replace(old, new)
    return text


def engine_of(runner: str, port: int) -> Mapping[str, str]:
    """Return the settings that put a runner's engine on a port of its own."""
    match runner:
        case "temporal":
            return {"TEMPORAL_ADDRESS": f"127.0.0.1:{port}", "ENGINE_PORT": str(port)}
        case "celery":
            return {
                "CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0",
                "CELERY_RESULT_BACKEND": f"redis://127.0.0.1:{port}/1",
                "ENGINE_PORT": str(port),
            }
        case _:
            return {}


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a command as Ctrl-C in its terminal does."""
    try:
        processes.stop(process, signal.SIGINT, group=True)
    except TimeoutError as error:
        raise Untrue(f"Ctrl-C does not stop it: {error}") from None
