"""Compares `lich` with Copier's own commands on the real template, in one run on one machine.

`lich --help` is compared with `import click`, which is the least that it can take.

Run it from a checkout: `python benchmarks/speed.py [ROUNDS]`. The commands take turns. Printed
are the median wall time of each and the median of the ratios, round by round: a machine that is
slow for a while is slow for both. It fails if a ratio is above what the project promises.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"init": 0.8, "update": 0.45, "nothing to do": 0.05, "help": 1.6}
PYTHON = Path(sys.executable)
LICH = [str(PYTHON.with_name("lich"))]
COPIER = [str(PYTHON.with_name("copier"))]

Job = tuple[Callable[[], None], Callable[[], None]]


def main() -> int:
    """Measure every job and print what it costs."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory(prefix="lich-speed-") as folder:
        return _measure(Path(folder), rounds)


def _measure(folder: Path, rounds: int) -> int:
    settings = folder / "settings"
    settings.mkdir()
    (settings / "gitconfig").write_text(
        "[user]\n\tname = N\n\temail = n@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    os.environ |= {
        "GIT_CONFIG_GLOBAL": str(settings / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "COPIER_CACHE_DIR": str(settings / "copier"),
        "XDG_CACHE_HOME": str(settings / "cache"),
    }
    # Both run from compiled modules, as installed ones do, whatever this environment says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(settings / "compiled")
    template = _template(folder / "template")
    first = folder / "first" / "app"
    _run(*LICH, "init", first, "-t", "temporal", "-l", "-r", "v90.0.0", "--template", template)
    latest = folder / "latest" / "app"
    _run(*LICH, "init", latest, "-t", "temporal", "-l", "--template", template)
    work = folder / "work" / "app"

    def fresh(project: Path | None) -> Callable[[], None]:
        def prepare() -> None:
            shutil.rmtree(work, ignore_errors=True)
            work.parent.mkdir(exist_ok=True)
            if project is not None:
                _run("git", "clone", "--quiet", project, work)

        return prepare

    def copier_init() -> None:
        _run(*COPIER, "copy", "-q", "-l", "-d", "task_runner=temporal", template, work)
        _run("git", "init", "-q", cwd=work)
        _run("git", "add", "--all", cwd=work)
        _run("git", "commit", "-q", "-m", "First", cwd=work)

    def lich_init() -> None:
        _run(*LICH, "init", work, "-t", "temporal", "-l", "--template", template)

    def copier_update() -> None:
        _run(*COPIER, "update", "-q", "-l", cwd=work)

    def lich_update() -> None:
        _run(*LICH, "update", cwd=work)

    def import_click() -> None:
        _run(PYTHON, "-c", "import click")

    def lich_help() -> None:
        _run(*LICH, "--help")

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
    _run("git", "clone", "--quiet", ROOT, folder)
    _run("git", "tag", "v90.0.0", cwd=folder)
    for path in sorted((folder / "template").rglob("*")):
        is_text = path.is_file() and path.suffix in (".py", ".md", ".jinja")
        if is_text and "answers" not in path.name and number_of(path) % 4 == 0:
            path.write_text(path.read_text(encoding="utf-8") + "\n# A newer release.\n")
    _run("git", "commit", "--quiet", "--all", "-m", "Newer", cwd=folder)
    _run("git", "tag", "v91.0.0", cwd=folder)
    return folder


def number_of(path: Path) -> int:
    """Return a number that is the same for the same path in every run."""
    return sum(path.as_posix().encode())


def _run(*command: object, cwd: Path | None = None) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
