"""Puts the template's history into wheels and source distributions as a git bundle."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["TemplateBundleHook"]

BUNDLE = "lich_wrapper/template.bundle"
PIN = "lich_wrapper/template.json"


class TemplateBundleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Bundles the repository that is being built, or passes an sdist's bundle on."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the bundle and its pin to the files of the distribution."""
        if version == "editable":
            return  # The checkout beside the package is the template.
        root = Path(self.root)
        if (root / ".git").exists():
            self._temporary = tempfile.TemporaryDirectory()
            made = Path(self._temporary.name)
            _bundle(root, made)
        elif (root / BUNDLE).is_file() and (root / PIN).is_file():
            made = root / "lich_wrapper"
        else:
            raise SystemExit("lich can be built from a git checkout or from its sdist only.")
        for name in (BUNDLE, PIN):
            build_data["force_include"][str(made / Path(name).name)] = name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made for the build."""
        if temporary := getattr(self, "_temporary", None):
            temporary.cleanup()


def _bundle(root: Path, into: Path) -> None:
    if _git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise SystemExit(
            "lich cannot be built from a shallow clone: run `git fetch --unshallow --tags` first."
        )
    commit = _git(root, "rev-parse", "HEAD")
    bundle = into / Path(BUNDLE).name
    # Made in the checkout itself: a clone may lack objects that only the checkout can fetch.
    _git(root, "bundle", "create", "--quiet", str(bundle), "HEAD", "--tags")
    # Whoever mirrors the bundle takes what has a name: HEAD alone would be lost.
    header, end, pack = bundle.read_bytes().partition(b"\n\n")
    named = b"\n".join([header, f"{commit} refs/heads/lich".encode()])
    bundle.write_bytes(named + end + pack)
    name = _git(root, "describe", "--tags", "--always", commit)
    pin = json.dumps({"commit": commit, "name": name})
    (into / Path(PIN).name).write_text(pin + "\n", encoding="utf-8")


def _git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
