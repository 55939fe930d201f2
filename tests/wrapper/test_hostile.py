"""A template writes nothing but files, links and folders of the project, and runs nothing."""

import os
from pathlib import Path

import pytest

from lich_wrapper.template import limits
from tests.kit.trees import Tree, git, snapshot
from tests.wrapper.conftest import ANSWERS, Lich

# Copier leaves `.git` out by default; this is how a template asks for it.
CONFIG = """\
_subdirectory: template
_exclude: []
_preserve_symlinks: true
name: {type: str, default: x}
"""

SPELLINGS = {
    "plain": ".git",
    "upper case": ".GIT",
    "mixed case": ".gIt",
    "ignored by HFS+": ".g\u200cit",
    "ignored at the start": "\ufeff.git",
    "soft hyphen": ".gi\u00adt",
    "full width": "\uff0egit",
    "short name": "git~1",
    "upper short name": "GIT~1",
    "trailing dot": ".git.",
    "trailing spaces": ".git  ",
    "dots and spaces": ".git. .",
    "stream": ".git::$INDEX_ALLOCATION",
    "backslash": "a\\.git",
}


@pytest.fixture
def hostile(tmp_path: Path) -> Tree:
    """A template that may write everything that Copier lets it."""
    tree = Tree(tmp_path / "hostile")
    tree.write(
        {
            "copier.yml": CONFIG,
            "template/{{ _copier_conf.answers_file }}.jinja": ANSWERS,
            "template/plain.txt": "plain\n",
        }
    )
    tree.commit("v1.0.0")
    return tree


@pytest.fixture
def victim(hostile: Tree, lich: Lich, tmp_path: Path) -> Tree:
    """A project that the template made before it turned hostile."""
    assert lich("init", tmp_path / "victim", "--template", hostile.path, "-l").code == 0
    return Tree(tmp_path / "victim", init=False)


def everything(folder: Path) -> dict[str, object]:
    """Return all that is below a folder, git's own files too."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.is_file() and path.read_bytes())
        for path in sorted(folder.rglob("*"))
    }


def refused(lich: Lich, template: Tree, victim: Tree, tmp_path: Path, *words: str) -> None:
    """Check that neither a new project nor an update takes anything of the template."""
    template.commit("v2.0.0")
    before = everything(victim.path)
    beside = sorted(tmp_path.iterdir())
    for command in (
        ["init", tmp_path / "new", "--template", template.path, "-l"],
        ["init", tmp_path / "new", "--template", template.path, "-l", "--dry-run"],
        ["init", tmp_path / "new", "--template", template.path, "-l", "--no-git"],
        ["update", victim.path],
    ):
        result = lich(*command)
        assert result.code == 1, (command, result)
        assert len(result.err.splitlines()) == 1, result.err
        for word in words:
            assert word in result.err
    assert sorted(tmp_path.iterdir()) == beside
    assert {k: v for k, v in everything(victim.path).items() if v != before.get(k)} == {}


@pytest.mark.parametrize(
    ("spelling", "place"),
    [
        *((spelling, "sub/folder/{}/config") for spelling in SPELLINGS.values()),
        *((spelling, place) for spelling in (".git", ".GIT") for place in ("{}/config", "{}")),
    ],
)
def test_git_s_own_folder_is_refused_in_every_spelling(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path, spelling: str, place: str
) -> None:
    name = place.format("{{ '" + spelling.replace("\\", "\\\\") + "' }}")
    hostile.write({f"template/{name}": "[core]\n\tfsmonitor = touch ran\n"})
    refused(lich, hostile, victim, tmp_path, "git's own")


def test_a_filter_and_a_hook_of_the_template_never_run(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    hook = "template/{{ '.git' }}/hooks/post-commit"
    hostile.write(
        {
            "template/{{ '.git' }}/config": f'[filter "x"]\n\tclean = "touch {ran}; cat"\n',
            "template/.gitattributes": "* filter=x\n",
            hook: f"#!/bin/sh\ntouch {ran}\n",
        }
    )
    (hostile.path / hook).chmod(0o755)
    refused(lich, hostile, victim, tmp_path, "git's own")
    assert not ran.exists()


def test_attributes_of_the_template_start_no_filter_of_the_user(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    config = Path(os.environ["GIT_CONFIG_GLOBAL"]).read_text()
    (tmp_path / "gitconfig").write_text(
        f'{config}\n[filter "x"]\n\tclean = "touch {ran}; cat"\n\tsmudge = cat\n\trequired = true\n'
    )
    hostile.write({"template/.gitattributes.jinja": "* filter=x\n", "template/sub/a.txt": "a\n"})
    hostile.commit("v2.0.0")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))

    assert lich("init", tmp_path / "new", "--template", hostile.path, "-l").code == 0
    assert lich("update", victim.path, "--dry-run").code == 0
    assert not ran.exists()
    assert set(git(tmp_path / "new", "ls-files").split()) == set(snapshot(tmp_path / "new"))


@pytest.mark.parametrize(
    "target", ["{outside}", "../outside", "sub/../../outside", ".git/hooks", "inside/../.GIT"]
)
def test_a_link_that_leads_out_of_the_project_or_into_git_s_folder_is_refused(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path, target: str
) -> None:
    (tmp_path / "outside").mkdir()
    (hostile.path / "template/inside").mkdir()
    target = target.format(outside=tmp_path / "outside")
    (hostile.path / "template/{{ 'a' }}").symlink_to(target)
    refused(lich, hostile, victim, tmp_path, "the link a")


def test_a_chain_of_links_that_leads_out_of_the_project_is_refused(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path
) -> None:
    hostile.write({"template/deep/er/file.txt": "x\n"})
    (hostile.path / "template/deep/er/root").symlink_to("../..")
    (hostile.path / "template/out").symlink_to("deep/er/root/..")
    refused(lich, hostile, victim, tmp_path, "the link out")


@pytest.mark.parametrize("absolute", [True, False])
def test_nothing_is_written_through_a_link(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path, absolute: bool
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = hostile.path / "template/{{ 'a' }}"
    link.symlink_to(outside if absolute else "../outside")
    hostile.write({"template/a/evil.txt": "evil\n"})
    refused(lich, hostile, victim, tmp_path)
    assert list(outside.iterdir()) == []


def test_a_link_that_another_name_hides_where_case_does_not_count_is_refused(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path
) -> None:
    hostile.write({"template/a/hooks.txt": "x\n", "template/sub/b.txt": "b\n"})
    (hostile.path / "template/A").symlink_to("sub")
    refused(lich, hostile, victim, tmp_path, "differ")


def test_a_repository_without_a_git_folder_is_refused(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path
) -> None:
    hostile.write(
        {
            "template/sub/HEAD": "ref: refs/heads/main\n",
            "template/sub/config": "[core]\n\tfsmonitor = touch ran\n",
            "template/sub/objects/x": "",
            "template/sub/refs/x": "",
        }
    )
    refused(lich, hostile, victim, tmp_path, "git's own", "sub")


def test_an_answers_file_that_is_a_link_is_not_read(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path
) -> None:
    (tmp_path / "secret.yml").write_text("secret: 1\n")
    hostile.write({"template/{{ _copier_conf.answers_file }}.jinja": None})
    (hostile.path / "template/.copier-answers.yml").symlink_to(tmp_path / "secret.yml")
    refused(lich, hostile, victim, tmp_path, ".copier-answers.yml")


def test_links_and_names_that_are_no_danger_are_taken(
    lich: Lich, hostile: Tree, tmp_path: Path
) -> None:
    names = [".github/a", ".gitignore", ".gitkeep", "git", "a.git/b", "HEAD", "git~x", "..git"]
    hostile.write({f"template/{name}": f"{name}\n" for name in names})
    (hostile.path / "template/sub").mkdir()
    (hostile.path / "template/sub/up").symlink_to("../plain.txt")
    (hostile.path / "template/dangling").symlink_to("later/made.txt")
    hostile.commit("v2.0.0")
    assert lich("init", tmp_path / "new", "--template", hostile.path, "-l").code == 0
    made = snapshot(tmp_path / "new")
    assert made["sub/up"] == ("link", b"../plain.txt")
    assert made["dangling"] == ("link", b"later/made.txt")
    assert set(names) <= set(made)


ENDLESS = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("place", ["file", "name", "question", "pattern", "number"])
def test_a_template_that_never_ends_is_stopped(
    lich: Lich,
    hostile: Tree,
    victim: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    monkeypatch.setattr(limits, "MOST_SECONDS", 0.5)
    match place:
        case "file":
            hostile.write({"template/endless.jinja": ENDLESS})
        case "name":
            loop = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
            hostile.write({f"template/{loop}x": ""})
        case "pattern":
            pattern = "{{ ('a' * 60 ~ 'b') | regex_search('(a+)+$') }}"
            hostile.write({"template/endless.jinja": pattern})
        case "number":
            hostile.write({"template/endless.jinja": "{{ 9 ** (9 ** 8) > 1 }}"})
        case "question":
            hostile.write({"copier.yml": f"{CONFIG}\nslow: {{type: str, default: '{ENDLESS}'}}\n"})
    refused(lich, hostile, victim, tmp_path, "minute")


def test_a_template_that_writes_too_many_files_is_stopped(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_FILES", 20)
    hostile.write({"template/{% yield n from range(19) %}f{{ n }}{% endyield %}": ""})
    refused(lich, hostile, victim, tmp_path, "20 files")


def test_a_file_of_this_machine_cannot_be_included(
    lich: Lich, hostile: Tree, victim: Tree, tmp_path: Path
) -> None:
    hostile.write({"template/a.jinja": "{% include '/etc/passwd' %}"})
    refused(lich, hostile, victim, tmp_path, "/etc/passwd")


def test_a_link_in_a_checkout_is_not_followed(lich: Lich, hostile: Tree, tmp_path: Path) -> None:
    hostile.write({"template/a/kept.txt": "kept\n"})
    hostile.git("tag", "--delete", "v1.0.0")
    hostile.commit()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("outside\n")
    hostile.write({"template/a/kept.txt": None})
    (hostile.path / "template/a").rmdir()
    (hostile.path / "template/a").symlink_to(outside)
    result = lich("init", tmp_path / "new", "--template", hostile.path, "-l")
    assert result.code == 1
    assert "the link a" in result.err
    assert (outside / "kept.txt").read_text() == "outside\n"
