"""What the scripts of a backup ask of Docker, done with folders as volumes.

For tests with real servers that are processes: who calls the scripts stops and starts them. A
folder below `VOLUMES` is the volume of its name.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.kit.processes import run

PROJECT = "sample"
"""The name that the project must have."""


def call(script: str, project: Path, volumes: Path) -> None:
    """Run a script of a project, such as `deploy/backup.sh FOLDER`, on these volumes."""
    program = project.parent / "bin/docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m tests.kit.volumes "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "VOLUMES": str(volumes),
    }
    run("sh", *shlex.split(script), cwd=project, environment=environment)


def main(words: list[str]) -> int:
    """Do one command of the scripts; any other is an error."""
    volumes = Path(os.environ["VOLUMES"])
    match [word for word in words if word not in ("--profile", "*")]:
        case ["compose", "config"]:
            print(f"name: {PROJECT}")
        case ["compose", "config", "--volumes"]:
            print("\n".join(path.name for path in volumes.iterdir()))
        case ["compose", "ps" | "stop" | "build" | "down", *_]:
            pass
        case ["volume", "inspect", name]:
            return 0 if (volumes / name.removeprefix(f"{PROJECT}_")).is_dir() else 1
        case ["volume", "create", *_, name]:
            (volumes / name.removeprefix(f"{PROJECT}_")).mkdir(exist_ok=True)
        case ["run", *options]:
            volume = options[options.index("--volume") + 1].partition(":")[0]
            folder = volumes / volume.removeprefix(f"{PROJECT}_")
            # After the name of the image comes the command.
            command = options[options.index(PROJECT) + 1 :]
            command = [word.replace("/volume", str(folder)) for word in command]
            return subprocess.run(command, check=False).returncode
        case other:
            sys.exit(f"docker: not known here: {shlex.join(other)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
