"""Finds the template: a given source, the checkout beside the package, its bundle, its URL."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lich_wrapper.errors import LichError
from lich_wrapper.git import Git, refusal

if TYPE_CHECKING:
    from packaging.version import Version as Number

__all__ = [
    "Source",
    "Version",
    "base_release",
    "carried_version",
    "default_source",
    "find_source",
    "release_number",
]

_DISTRIBUTION: Final = "lich-wrapper"
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_BUNDLE: Final = _PACKAGE / "template.bundle"
# What the bundle was made from: a commit id and its name in `git describe`, never the
# version of the distribution, which drops what git needs to find the commit again.
_PIN: Final = _PACKAGE / "template.json"

_AFTER_RELEASE: Final = re.compile(r"-\d+-g[0-9a-f]+$")


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a template: the commit, and the name under which it is recorded."""

    commit: str
    name: str
    # Changes in a checkout that no commit holds are part of the state.
    dirty: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A template repository: the URL that is recorded, and where git can read it here."""

    url: str
    repository: Path
    # Where a project starts without a ref: a commit, or None for the newest release.
    start: str | None = None

    @property
    def git(self) -> Git:
        """Git in the repository of the template."""
        return Git(self.repository)

    def version(self, ref: str | None = None) -> Version:
        """Return the version that a tag, branch or commit names, or the one to start from.

        Raises LichError if the template has no such version.
        """
        dirty = False
        if ref is None and self.start is None:
            tags = self._tags()
            ref = _newest(tags)
            commit = tags[ref] if ref is not None else None
            if ref is not None and commit and list(tags.values()).count(commit) == 1:
                # It is what `git describe` says of a commit with one tag.
                return Version(commit, ref)
        if ref is None:
            ref = self.start or "HEAD"
            dirty = ref == "HEAD" and self._has_changes()
        commit = self.commit_id(ref)
        if commit is None:
            releases = ", ".join(_releases(self._tags())[:5])
            raise LichError(
                f"The template {self.url} has no version {ref!r}: give a tag, a branch or a "
                "commit of it with --vcs-ref "
                f"({f'releases: {releases}' if releases else 'it has no release yet'})."
            )
        return Version(commit, self.git("describe", "--tags", "--always", commit), dirty)

    def commit_id(self, ref: str) -> str | None:
        """Return the id of the commit that a tag, branch or description names here."""
        if ref == "HEAD" and self.start not in (None, "HEAD"):
            return self.start
        return self.git.commit_id(ref) or self.git.commit_id(f"refs/remotes/origin/{ref}")

    def newest_release(self) -> str | None:
        """Return the newest release's tag, if there is any release."""
        return _newest(self._tags())

    def _tags(self) -> dict[str, str | None]:
        """Return the commit of every tag; None where it is of something else."""
        asked = "%(objecttype) %(objectname) %(*objecttype) %(*objectname) %(refname:lstrip=2)"
        tags: dict[str, str | None] = {}
        for line in self.git("for-each-ref", f"--format={asked}", "refs/tags").splitlines():
            # An annotated tag is an object of its own, which names the commit.
            kind, its_id, named_kind, named_id, tag = line.split(" ", 4)
            tags[tag] = {kind: its_id, named_kind: named_id}.get("commit")
        return tags

    def _has_changes(self) -> bool:
        """Tell whether the template is a work tree with changes that no commit holds."""
        if not (self.repository / ".git").exists():
            return False
        return self.git("status", "--porcelain") != ""


def base_release(name: str) -> str:
    """Return the release that a commit comes after: v1.2.0 of v1.2.0-3-gabcdef0 or v1.2.0."""
    return _AFTER_RELEASE.sub("", name)


def _newest(tags: Iterable[str]) -> str | None:
    return next(iter(_releases(tags)), None)


def _releases(tags: Iterable[str]) -> list[str]:
    """Return the tags that are releases, newest first."""
    numbers = ((release_number(tag), tag) for tag in tags)
    released = [(number, tag) for number, tag in numbers if number and not number.is_prerelease]
    return [tag for _, tag in sorted(released, key=lambda pair: pair[0], reverse=True)]


def release_number(name: str) -> "Number | None":
    """Return the number (PEP 440) that a tag or a heading names, or None if it names none."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(name)
    except InvalidVersion:
        return None


def carried_version(url: str) -> str | None:
    """Return the version that the package itself carries of the template at a URL, if it does."""
    if not _PIN.is_file() or url != _canonical_url():
        return None
    return str(json.loads(_PIN.read_text(encoding="utf-8"))["name"])


def _canonical_url() -> str:
    """Return the URL the package was installed from, or the repository in its metadata."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        installed = distribution(_DISTRIBUTION)
    except PackageNotFoundError:
        raise LichError(
            f"{_DISTRIBUTION} is not installed, so it has no template: give one with --template."
        ) from None
    direct = json.loads(installed.read_text("direct_url.json") or "{}")
    if direct.get("vcs_info", {}).get("vcs") == "git":
        return _recordable(str(direct["url"]))
    for entry in installed.metadata.get_all("Project-URL") or []:
        label, _, url = entry.partition(",")
        if label.strip().lower() == "repository":
            return _recordable(url.strip())
    raise LichError(f"{_DISTRIBUTION} names no repository: give a template with --template.")


def default_source(workspace: Path) -> Source:
    """Return the template that belongs to this package; `workspace` may hold a copy of it."""
    checkout = _PACKAGE.parent
    if (checkout / "copier.yml").is_file() and (checkout / ".git").exists():
        return Source(str(checkout), checkout, start="HEAD")
    return _canonical(_canonical_url(), workspace)


def find_source(given: str, workspace: Path, *, network: bool = False) -> Source:
    """Return the template at a path or URL.

    A copy that is made of it is in the user's cache, or else in `workspace`; `network` passes
    over the copy that the package holds. Raises LichError if there is no template to read.
    """
    path = Path(given).expanduser()
    if _is_path(given, path):
        return _local(given, path)
    if not network and _BUNDLE.is_file() and given == _canonical_url():
        return _canonical(given, workspace)
    return _fetched(_recordable(given), workspace)


def _recordable(url: str) -> str:
    # Copier takes a URL for a git repository by these signs; without one it would look
    # for a folder of that name in the next update.
    known = ("git@", "git://", "git+", "https://github.com/", "https://gitlab.com/", "gh:", "gl:")
    return url if url.endswith(".git") or url.startswith(known) else f"git+{url}"


def _is_path(given: str, path: Path) -> bool:
    try:
        return path.exists() or not re.match(r"^([a-z+.-]+:|[^/]+@[^/]+:)", given, re.IGNORECASE)
    except OSError:
        return False


def _local(given: str, path: Path) -> Source:
    if not path.is_dir():
        raise LichError(
            f"The template {given} is not there: give a folder or a URL that exists "
            "with --template."
        )
    # A relative path would be looked up from another folder in the next update.
    path = path.resolve()
    asked = ("--is-bare-repository", "--absolute-git-dir", "--show-cdup", "HEAD")
    state = Git(path).run("rev-parse", *asked, ok=(0, 128))
    said = state.stdout.decode(errors="surrogateescape").splitlines()
    is_root = len(said) > 2 and (Path(said[1]) == path if said[0] == "true" else not said[2])
    if not said and (problem := refusal(path, state.stderr)) is not None:
        raise LichError(problem)
    if not is_root:
        raise LichError(
            f"The template {path} is not a git repository: a project could not be updated "
            "from it. Run `git init` and commit there first."
        )
    if state.returncode:
        raise LichError(f"The template {path} has no commit yet: commit there first.")
    return Source(str(path), path)


def _canonical(url: str, workspace: Path) -> Source:
    if not _BUNDLE.is_file():
        return _fetched(url, workspace)
    pin = str(json.loads(_PIN.read_text(encoding="utf-8"))["commit"])
    address = _address(url)
    settings = {f"url.{_BUNDLE}.insteadOf": address, "protocol.file.allow": "always"}
    repository = workspace / "bundle.git"
    if not repository.exists():
        _init(repository)
        _fetch(address, Git(repository, settings))
    return Source(url, repository, start=pin)


def _fetched(url: str, workspace: Path) -> Source:
    import hashlib
    import shutil
    import tempfile

    address = _address(url)
    cache = _cache() / f"{hashlib.sha256(address.encode()).hexdigest()}.git"
    try:
        if (cache / "HEAD").is_file():
            _refresh(address, cache)
        else:
            cache.parent.mkdir(parents=True, exist_ok=True)
            # Made beside its place and renamed, so that no half copy is ever taken for a whole.
            with tempfile.TemporaryDirectory(dir=cache.parent) as staging:
                _clone(address, Path(staging, "repo.git"))
                Path(staging, "repo.git").rename(cache)
        return Source(url, cache)
    except (OSError, LichError) as problem:
        shutil.rmtree(workspace / "fetched.git", ignore_errors=True)
        try:
            _clone(address, workspace / "fetched.git")
        except LichError:
            raise LichError(
                f"The template {url} cannot be fetched ({problem}): check the address and the "
                "network, or give another source with --template."
            ) from problem
        return Source(url, workspace / "fetched.git")


def _clone(address: str, repository: Path) -> None:
    _init(repository)
    _refresh(address, repository)


def _refresh(address: str, repository: Path) -> None:
    git = Git(repository)
    _fetch(address, git)
    listed = git("ls-remote", "--symref", "--", address, "HEAD").split()
    if listed[:1] == ["ref:"]:
        git("symbolic-ref", "HEAD", listed[1])


def _init(repository: Path) -> None:
    Git(repository.parent)("init", "--quiet", "--bare", "--template=", "--", str(repository))


def _fetch(address: str, git: Git) -> None:
    wanted = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    git("fetch", "--quiet", "--force", "--prune", "--no-tags", "--", address, *wanted)


def _address(url: str) -> str:
    """Return the URL as git understands it; Copier's short forms are spelt out."""
    url = url.removeprefix("git+")
    for short, host in (("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")):
        if url.startswith(short):
            return f"{host}{url.removeprefix(short).removesuffix('.git')}.git"
    return url


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lich" / "templates"
