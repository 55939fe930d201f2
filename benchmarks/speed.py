"""Compares `lich` with Copier's own commands on the real template, in one run on one machine.

`lich --help` is compared with `import click`, which is the least that it can take.

Usage, in a checkout: python -m benchmarks.speed [ROUNDS]. The commands take turns. Printed
are the median wall time of each and the median of the ratios, round by round: a machine that is
slow for a while is slow for both. It fails if a ratio is above what the project promises.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.kit.processes import run
from tests.kit.projects import isolated_settings, release
from tests.kit.repository import BIN
from tests.kit.trees import git

LIMITS = {"init": 0.8, "update": 0.45, "nothing to do": 0.05, "help": 1.6}
LICH = BIN / "lich"
COPIER = BIN / "copier"

Job = tuple[Callable[[], None], Callable[[], None]]


def main() -> int:
    """Measure every job and print what it costs."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory(prefix="lich-speed-") as folder:
        return _measure(Path(folder), rounds)


def _measure(folder: Path, rounds: int) -> int:
    settings = folder / "settings"
    os.environ |= isolated_settings(settings) | {"XDG_CACHE_HOME": str(settings / "cache")}
    # Both run from compiled modules, as installed ones do, whatever this environment says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(settings / "compiled")
    template = _template(folder / "template")
    first = folder / "first" / "app"
    run(LICH, "init", first, "-t", "temporal", "-l", "-r", "v90.0.0", "--template", template)
    latest = folder / "latest" / "app"
    run(LICH, "init", latest, "-t", "temporal", "-l", "--template", template)
    work = folder / "work" / "app"

    def fresh(project: Path | None) -> Callable[[], None]:
        def prepare() -> None:
            shutil.rmtree(work, ignore_errors=True)
            work.parent.mkdir(exist_ok=True)
            if project is not None:
                run("git", "clone", "--quiet", project, work)

        return prepare

    def copier_init() -> None:
        run(COPIER, "copy", "-q", "-l", "-d", "task_runner=temporal", template, work)
        git(work, "init", "-q")
        git(work, "add", "--all")
        git(work, "commit", "-q", "-m", "First")

    def lich_init() -> None:
        run(LICH, "init", work, "-t", "temporal", "-l", "--template", template)

    def copier_update() -> None:
        run(COPIER, "update", "-q", "-l", cwd=work)

    def lich_update() -> None:
        run(LICH, "update", cwd=work)

    def import_click() -> None:
        run(sys.executable, "-c", "import click")

    def lich_help() -> None:
        run(LICH, "--help")

    update = (fresh(first), copier_update)
    jobs: dict[str, tuple[Job, Job]] = {
        "init": ((fresh(None), copier_init), (fresh(None), lich_init)),
        "update": (update, (fresh(first), lich_update)),
        # With nothing to do Copier works less too, but what the user is spared is an update.
        "nothing to do": (update, (fresh(latest), lich_update)),
        "help": ((fresh(None), import_click), (fresh(None), lich_help)),
    }
    failed = False
    print(f"{'job':<16}{'other':>9}{'lich':>9}{'ratio':>8}{'limit':>7}")
    for job, ((theirs, peer), (ours, lich)) in jobs.items():
        times: list[tuple[float, float]] = []
        for _ in range(rounds):
            times.append((_timed(theirs, peer), _timed(ours, lich)))
        ratio = statistics.median(own / other for other, own in times)
        failed |= ratio > LIMITS[job]
        other, own = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{job:<16}{other:>8.3f}s{own:>8.3f}s{ratio:>8.3f}{LIMITS[job]:>7.2f}", flush=True)
    return int(failed)


def _timed(prepare: Callable[[], None], command: Callable[[], None]) -> float:
    """Return how many seconds a command takes."""
    prepare()
    start = time.perf_counter()
    command()
    return time.perf_counter() - start


def _template(folder: Path) -> Path:
    """Return the checkout's template with two releases that differ a little everywhere."""
    release(folder, "v90.0.0")
    for path in sorted((folder / "template").rglob("*")):
        is_text = path.is_file() and path.suffix in (".py", ".md", ".jinja")
        if is_text and "answers" not in path.name and number_of(path) % 4 == 0:
            path.write_text(path.read_text(encoding="utf-8") + "\n# A newer release.\n")
    git(folder, "commit", "--quiet", "--all", "-m", "Newer")
    git(folder, "tag", "v91.0.0")
    return folder


def number_of(path: Path) -> int:
    """Return a number that is the same for the same path in every run."""
    return sum(path.as_posix().encode())


if __name__ == "__main__":
    sys.exit(main())
