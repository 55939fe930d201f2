"""A container engine for the tests: the one that answers, else a private one.

The private one is unpacked from Debian's packages and never installed. It keeps its data, socket
and network settings to itself, and is gone without a trace when the tests end. Its images come
from no registry: `stand_ins` makes them.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import docker
import pytest
from docker.errors import DockerException

from tests.kit.waiting import until

__all__ = ["Engine", "Unavailable", "cache", "client_or_skip", "engine", "skip", "unpacked_tools"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lich-containers"

RUN = "lich-engine-"
"""What the names of private engines' temporary folders begin with."""

# The newest release has a BuildKit and a Compose that are young enough.
SUITE = "trixie"
TOOLS = [
    "caddy", "containerd", "debootstrap", "docker-buildx", "docker-cli", "docker-compose", "docker.io",
]  # fmt: skip
# These are linked against the C library of the release they come from: it must be this machine's.
NATIVE_TOOLS = [
    "iptables", "libip4tc2", "libip6tc2", "libmnl0", "libnetfilter-conntrack3", "libnfnetlink0",
    "libnftnl11", "libseccomp2", "libxtables12", "runc",
]  # fmt: skip
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Unavailable(Exception):
    """Why this machine can have no engine: the reason of the skip."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and what its clients need in the environment."""

    environment: dict[str, str]
    is_private: bool

    @property
    def client(self) -> docker.DockerClient:
        return docker.from_env(environment=self.environment, timeout=120)

    def run(self, *command: str | Path, stdin: IO[bytes] | None = None, **more: str) -> str:
        """Return what a client of the engine prints, with more variables in its environment."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment, **more}, stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
        return str(done.stdout)


@contextmanager
def engine() -> Iterator[Engine]:
    """Give the engine of this machine, or a private one for as long as the context lasts."""
    existing = _existing()
    if existing:
        yield existing
        return
    tools = unpacked_tools()
    _require_privileges()
    _clear_after_killed_runs()
    home = Path(tempfile.mkdtemp(prefix=RUN))
    try:
        with _daemon(tools, home) as private:
            yield private
    finally:
        _clear(home)


def skip(reason: Unavailable) -> NoReturn:
    """Skip a test that needs what cannot be had here, or fail where it must be had."""
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(str(reason))
    pytest.skip(str(reason))


def client_or_skip() -> Engine:
    """Return clients for an engine that need not be there."""
    if _has_compose():
        return Engine({}, is_private=False)
    try:
        return Engine(_environment(unpacked_tools()), is_private=True)
    except Unavailable as reason:
        skip(reason)


@contextmanager
def cache(name: str) -> Iterator[Path]:
    """Give the path of something in the cache, to be made if it is not there; others wait."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE / name


def unpacked_tools() -> Path:
    """Unpack the engine and its clients, once."""
    packages = hashlib.sha256(" ".join(TOOLS + NATIVE_TOOLS).encode()).hexdigest()[:8]
    with cache(f"tools-{SUITE}-{packages}") as tools:
        if not tools.exists():
            scratch = Path(tempfile.mkdtemp(prefix="unpack-", dir=CACHE))
            try:
                (scratch / "tools").mkdir()
                for package in _packages(scratch):
                    _call("dpkg", "-x", package, scratch / "tools")
                _link_commands(scratch / "tools")
                (scratch / "tools").rename(tools)
            finally:
                shutil.rmtree(scratch)
    return tools


def mirror() -> str:
    """Return the address where this machine gets its Debian packages."""
    uris = _call(
        "apt-get", "indextargets", "--format", "$(REPO_URI)",
        f"Release: {_codename()}", "Created-By: Packages",
    ).split()  # fmt: skip
    if not uris:
        raise Unavailable("apt knows no source of Debian packages")
    return uris[0]


def _codename() -> str:
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    if release.get("ID") != "debian":
        raise Unavailable("no Docker engine answers, and one can be unpacked only on Debian")
    return release["VERSION_CODENAME"].strip('"')


def _packages(scratch: Path) -> list[Path]:
    """Download the packages, with a configuration of apt that leaves the machine's own alone."""
    codename = _codename()
    (scratch / "lists/partial").mkdir(parents=True)
    (scratch / "packages").mkdir()
    (scratch / "sources.list").write_text(
        "".join(
            f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n"
            for suite in sorted({SUITE, codename})
        )
    )
    apt = [
        "apt-get", "-qq",
        "-o", f"Dir::Etc::sourcelist={scratch / 'sources.list'}", "-o", "Dir::Etc::sourceparts=-",
        "-o", f"Dir::State::lists={scratch / 'lists'}", "-o", f"Dir::Cache={scratch / 'cache'}",
        "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    _call(*apt, "update")
    wanted = [f"{name}/{SUITE}" for name in TOOLS] + [f"{name}/{codename}" for name in NATIVE_TOOLS]
    _call(*apt, "download", *wanted, folder=scratch / "packages")
    return sorted((scratch / "packages").iterdir())


def _link_commands(tools: Path) -> None:
    # The package's installation scripts would make these links.
    for name in ("iptables", "ip6tables"):
        (tools / "usr/sbin" / name).unlink(missing_ok=True)
        (tools / "usr/sbin" / name).symlink_to("xtables-nft-multi")
    plugins = tools / "config/cli-plugins"
    plugins.mkdir(parents=True)
    for plugin in ("docker-buildx", "docker-compose"):
        (plugins / plugin).symlink_to(f"../../usr/libexec/docker/cli-plugins/{plugin}")


def _existing() -> Engine | None:
    try:
        docker.from_env(timeout=10).ping()
    except DockerException:
        return None
    return Engine({}, is_private=False) if _has_compose() else None


def _has_compose() -> bool:
    try:
        done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _environment(tools: Path) -> dict[str, str]:
    return {
        "DOCKER_CONFIG": f"{tools}/config",
        "PATH": f"{tools}/usr/sbin:{tools}/usr/bin:{os.environ['PATH']}",
    }


def _require_privileges() -> None:
    if os.geteuid() != 0:
        raise Unavailable("no Docker engine answers, and only root can start one")
    if not any(os.access(path, os.W_OK) for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory")):
        raise Unavailable("no Docker engine answers, and the control groups cannot be written")


@contextmanager
def _daemon(tools: Path, home: Path) -> Iterator[Engine]:
    environment = {**_environment(tools), "DOCKER_HOST": f"unix://{home}/socket"}
    libraries = next((tools / "usr/lib").glob("*-linux-gnu"))
    plugins = Path("/run/docker")
    was_there = plugins.exists()
    with (home / "log").open("w") as log:
        daemon = subprocess.Popen(
            [
                # Should the tests be killed, the engine stops its containers and ends as well.
                "setpriv", "--pdeathsig", "TERM", "dockerd",
                "--config-file", os.devnull, "--host", environment["DOCKER_HOST"],
                "--data-root", home / "data", "--exec-root", home / "exec",
                "--pidfile", home / "pid",
                # The host's network settings stay as they are; containers reach each other.
                "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
                "--ip-masq=false",
            ],
            env={
                **os.environ, **environment,
                "LD_LIBRARY_PATH": f"{libraries}", "XTABLES_LIBDIR": f"{libraries}/xtables",
            },
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    private = Engine(environment, is_private=True)
    try:
        _wait_for(private, daemon, home / "log")
        yield private
    finally:
        if daemon.poll() is None:
            _remove_everything(private)
            daemon.terminate()
        daemon.wait(60)
        if not was_there:
            shutil.rmtree(plugins, ignore_errors=True)


def _wait_for(private: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        if daemon.poll() is not None:
            raise TimeoutError
        with suppress(DockerException):
            private.client.ping()
            return True
        return False

    try:
        until(answers, 30)
    except TimeoutError:
        last = log.read_text().splitlines()[-1:]
        raise Unavailable(f"the Docker engine does not start here: {''.join(last)}") from None


def _remove_everything(private: Engine) -> None:
    with suppress(DockerException):
        for container in private.client.containers.list(all=True):
            container.remove(force=True)
        private.client.networks.prune()


def _clear(home: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted(mounts, reverse=True):
        if mount.startswith(f"{home}/"):
            subprocess.run(["umount", "--lazy", mount], check=False)
    subprocess.run(["rm", "-rf", home], check=True)


def _clear_after_killed_runs() -> None:
    for home in Path(tempfile.gettempdir()).glob(f"{RUN}*"):
        with suppress(OSError, ValueError):
            if not Path(f"/proc/{int((home / 'pid').read_text())}").exists():
                _clear(home)


def _call(*command: str | Path, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"no Docker engine answers, and {error}") from None
    if done.returncode:
        raise Unavailable(
            f"no Docker engine answers, and `{command[0]}` failed: {done.stderr.strip()[-300:]}"
        )
    return done.stdout
