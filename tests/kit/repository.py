"""Where this repository and its tools are, and the choices of its template."""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
"""The commands of the environment that runs this."""

IN_PROJECT = Path(__file__).with_name("in_project")
"""The programs that run inside a generated project."""

OWN_JOBS = Path(__file__).with_name("own_jobs")
"""Two jobs of the owner of a project, one file each: one function, and several durable steps."""

LICH = (sys.executable, "-m", "lich_wrapper")

RUNNERS = ("temporal", "celery", "none")
LANGUAGES = ("en", "fa")
DATABASES = ("sqlite", "postgresql")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

# The default answer is 3.12, and the Python at hand may be older.
PYTHON_VERSION = "3.11" if sys.version_info < (3, 12) else "3.12"
"""The lowest Python that a project may ask for if the Python at hand is to run it."""


def find_tool(name: str) -> Path | None:
    """Return the path of a command: this environment's own, else the one on the PATH."""
    found = shutil.which(name, path=str(BIN)) or shutil.which(name)
    return Path(found) if found else None


def tool(name: str) -> Path:
    """Return the path of a command that the test group installs."""
    found = find_tool(name)
    assert found, f"{name} is in the test group"
    return found
