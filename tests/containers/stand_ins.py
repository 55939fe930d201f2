"""The images that compose.yaml names, made on this machine from real programs.

They show that the generated files fit together; they do not test the images of the registries.
"""

import os
import shutil
import sysconfig
import tempfile
from pathlib import Path

from tests.containers.engine import CACHE, KEYRING, SUITE, Engine, cache, mirror, unpacked_tools
from tests.kit.processes import run
from tests.kit.repository import tool

__all__ = ["BASE", "PYTHON_VERSION", "make"]

PYTHON_VERSION = "3.13"
"""The Python of the Debian release in the base image."""

BASE = f"python:{PYTHON_VERSION}-slim"
"""What the generated Dockerfile starts from."""

RECIPES = Path(__file__).parent / "stand_ins"
PROGRAMS = [
    "ca-certificates", "python-is-python3", "python3-pip", "python3-venv", "rabbitmq-server",
    "redis-server",
]  # fmt: skip
# PostgreSQL comes with this Python's packages, in the version of compose.yaml.
SITE_PACKAGES = sysconfig.get_path("platlib")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def make(engine: Engine, images: list[str]) -> None:
    """Make a stand-in for each image that is not there; a name that has none is an error."""
    there = {tag for image in engine.client.images.list() for tag in image.tags}
    if BASE not in there:
        _import(engine, _base_tar())
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(RECIPES, folder, dirs_exist_ok=True)
        shutil.copy2(tool("temporal"), folder)
        shutil.copy2(unpacked_tools() / "usr/bin/caddy", folder)
        for image in sorted({image.removeprefix("library/") for image in images} - there - {BASE}):
            target = image.rpartition(":")[0].rpartition("/")[2]
            engine.run(
                "docker", "build", "--quiet", "--network=host", "--target", target,
                "--build-context", f"site-packages={SITE_PACKAGES}", "--tag", image, folder,
            )  # fmt: skip


def _base_tar() -> Path:
    """Make the file system of all stand-ins, once."""
    with cache(f"base-{SUITE}.tar") as tar:
        if not tar.exists():
            tools = unpacked_tools()
            scratch = Path(tempfile.mkdtemp(prefix="base-", dir=CACHE))
            root = scratch / "root"
            try:
                run(
                    tools / "usr/sbin/debootstrap", "--variant=minbase", f"--keyring={KEYRING}",
                    f"--include={','.join(PROGRAMS)}", SUITE, root, mirror(),
                    environment={**os.environ, "DEBOOTSTRAP_DIR": f"{tools}/usr/share/debootstrap"},
                )  # fmt: skip
                _make_fit(root)
                run("tar", "-C", root, "-cf", scratch / "base.tar", ".")
                (scratch / "base.tar").rename(tar)
            finally:
                shutil.rmtree(scratch)
    return tar


def _make_fit(root: Path) -> None:
    for superfluous in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
        shutil.rmtree(root / superfluous)
    # In the real image no package manager owns Python: pip may install into it.
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    # Where this machine reaches its registries through a proxy, the images must trust it as well.
    if CERTIFICATES.exists():
        shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))


def _import(engine: Engine, tar: Path) -> None:
    with tar.open("rb") as content:
        engine.run(
            "docker", "import",
            "--change", f"ENV PIP_CERT={CERTIFICATES} SSL_CERT_FILE={CERTIFICATES}",
            "--change", 'CMD ["python"]', "-", BASE, stdin=content,
        )  # fmt: skip
