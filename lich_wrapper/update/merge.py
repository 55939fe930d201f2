"""Three-way merges of whole trees, by git, in a repository that is made for it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lich_wrapper.errors import LichError
from lich_wrapper.git import IDENTITY, NO_FILTERS, Git
from lich_wrapper.update.project import Project

__all__ = ["OURS", "Differences", "Entry", "Merged", "Scratch", "require_merge_tree"]

# The first git with `merge-tree --write-tree`.
_NEEDED: Final = (2, 38)
# The user's side in the markers of a conflict.
OURS: Final = "your-project"

# A file that the user added stays where it is, even if the template renames the folder.
_MERGE: Final = {
    "merge.conflictStyle": "merge",
    "merge.directoryRenames": "false",
    "merge.renormalize": "false",
    "merge.renameLimit": "0",
    "diff.renameLimit": "0",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.ignoreCase": "false",
}
# The same commits for the same trees: a dry run computes what an update does.
_VARIABLES: Final = {
    **IDENTITY,
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a tree of git: its mode and the id of its content."""

    mode: str
    id: str


# Both states of every file that is not the same in two trees.
Differences = dict[str, tuple[Entry | None, Entry | None]]


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge: a tree, and by path the stages of what git could not merge.

    Stage 1 is the base, 2 the user's side, 3 the template's.
    """

    tree: str
    unmerged: Mapping[str, Mapping[int, Entry]]


@dataclass(frozen=True, slots=True)
class Scratch:
    """A bare repository for one computation, which can also read the project's objects."""

    git_dir: Path
    # Where new objects are written: into the project's own store only for a real update.
    objects: Path
    project_objects: Path

    @classmethod
    def create(cls, folder: Path, project: Project, *, keep: bool) -> "Scratch":
        """Make the repository in a folder; `keep` writes new objects into the project's store."""
        git_dir = folder / "scratch.git"
        Git(folder)(
            *("init", "--quiet", "--bare", "--template="),
            *(f"--object-format={project.object_format}", "--", str(git_dir)),
        )
        (git_dir / "info").mkdir()
        (git_dir / "info/attributes").write_text(NO_FILTERS, encoding="utf-8")
        own = git_dir / "objects"
        return cls(git_dir, project.objects if keep else own, project.objects)

    def git(self, **variables: str) -> Git:
        """Git in this repository, with environment variables of its own."""
        # What a project's index will refer to must be on the disk, which git leaves to chance.
        synced = {"core.fsync": "loose-object"} if self.objects == self.project_objects else {}
        return Git(
            self.git_dir,
            _MERGE | synced,
            {
                "GIT_DIR": str(self.git_dir),
                "GIT_OBJECT_DIRECTORY": str(self.objects),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.project_objects),
                **_VARIABLES,
                **variables,
            },
        )

    def write_tree(self, folder: Path) -> str:
        """Store all files of a folder, ignored ones too, and return the id of their tree."""
        index = str(self.git_dir / f"{folder.parent.name}.index")
        git = self.git(GIT_INDEX_FILE=index, GIT_WORK_TREE=str(folder))
        git("add", "--all", "--force", "--", str(folder))
        return git("write-tree")

    def merge(self, base: str, ours: str, theirs: str, label: str) -> Merged:
        """Merge two trees with a common base; conflict markers call the template's side `label`."""
        git = self.git()
        start = git("commit-tree", base, "-m", "base")
        heads = ""
        for branch, tree in ((OURS, ours), (label, theirs)):
            commit = git("commit-tree", tree, "-p", start, "-m", branch)
            heads += f"update refs/heads/{branch} {commit}\n"
        git("update-ref", "--stdin", stdin=heads.encode())
        done = git.run("merge-tree", "--write-tree", "--no-messages", "-z", OURS, label, ok=(0, 1))
        tree, *records = done.stdout.decode(errors="surrogateescape").split("\0")
        unmerged: dict[str, dict[int, Entry]] = {}
        for record in filter(None, records):
            described, _, path = record.partition("\t")
            mode, object_id, stage = described.split(" ")
            unmerged.setdefault(path, {})[int(stage)] = Entry(mode, object_id)
        return self._with_own_kinds(Merged(tree, unmerged), label)

    def _with_own_kinds(self, merged: Merged, label: str) -> Merged:
        """Keep the user's version of what is of another kind, such as a link, on either side.

        Git gives one or both of them a name with the side at its end, and the stages are at
        several names; here all of them are at the file's own name.
        """
        suffix = re.compile(rf"~({re.escape(OURS)}|{re.escape(label)})(_\d+)?$")
        names: dict[str, list[str]] = {}
        for path in merged.unmerged:
            names.setdefault(suffix.sub("", path), []).append(path)
        unmerged = dict(merged.unmerged)
        changes: dict[str, Entry | None] = {}
        for path, parts in names.items():
            stages = {n: entry for part in parts for n, entry in merged.unmerged[part].items()}
            if len(parts) > 1 and {2, 3} <= stages.keys():
                for part in parts:
                    del unmerged[part]
                unmerged[path] = stages
                changes |= {**dict.fromkeys(parts), path: stages[2]}
        return Merged(self.rewrite(merged.tree, changes), unmerged)

    def rewrite(self, tree: str, entries: Mapping[str, Entry | None]) -> str:
        """Return a tree with other entries at some paths, or none where that is None."""
        if not entries:
            return tree
        git = self.git(GIT_INDEX_FILE=str(self.git_dir / "rewrite.index"))
        git("read-tree", tree)
        lines = "".join(f"0 {'0' * len(tree)}\t{path}\0" for path in entries) + "".join(
            f"{entry.mode} {entry.id}\t{path}\0" for path, entry in entries.items() if entry
        )
        git("update-index", "-z", "--index-info", stdin=os.fsencode(lines))
        return git("write-tree")

    def differences(self, old: str, new: str) -> Differences:
        """Return every file that differs between two trees."""
        listed = self.git()("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new)
        words = iter(listed.split("\0"))
        found = {}
        for described in words:
            if not described:
                continue
            old_mode, new_mode, old_id, new_id, _ = described[1:].split(" ")
            before = None if set(old_mode) == {"0"} else Entry(old_mode, old_id)
            after = None if set(new_mode) == {"0"} else Entry(new_mode, new_id)
            found[next(words)] = (before, after)
        return found

    def renames(self, old: str, new: str) -> dict[str, str]:
        """Return the new path of every file that was renamed from one tree to another."""
        words = self.git()(
            *("diff-tree", "-r", "-z", "-M", "--name-status", "--diff-filter=R", old, new)
        ).split("\0")
        return dict(zip(words[1::3], words[2::3], strict=True))

    def diff(self, old: str, new: str) -> str:
        """Return the difference of two trees as a patch that `git apply` takes."""
        git = self.git()
        shown = ("diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", old, new)
        patch = git.run(*shown).stdout
        try:
            return patch.decode()
        except UnicodeDecodeError:
            # A patch in which every file is binary, and every name quoted, is text in any case.
            attributes = self.git_dir / "info/attributes"
            attributes.write_text(f"{NO_FILTERS}* -diff\n", encoding="utf-8")
            return git.run("-c", "core.quotePath=true", *shown).stdout.decode()


def require_merge_tree() -> None:
    """Refuse a git that cannot merge trees."""
    said = Git(Path())("version")
    numbers = [int(part) for part in said.split()[2].split(".")[:2] if part.isdigit()]
    if tuple(numbers) < _NEEDED:
        wanted = ".".join(map(str, _NEEDED))
        raise LichError(f"An update needs git {wanted} or newer, here is {said}: update git first.")
