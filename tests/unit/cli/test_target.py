"""Which tree is meant."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.target import find, place, running

MakeRoot = Any
DEAD = {"keeper": 2**22 + 1, "keeper_start": 1}


def tree_file(folder: Path, text: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tree.toml").write_text(text)
    return folder / "tree.toml"


def refused(config: list[str] | None, tree: str | None = None) -> CommandError:
    with pytest.raises(CommandError) as caught:
        find(config, tree, {})
    return caught.value


def test_none_runs(make_root: MakeRoot) -> None:
    error = refused(None)
    assert (error.code, error.status, str(error)) == ("not_running", 3, "no tree is running")


def test_the_only_one_is_meant(make_root: MakeRoot) -> None:
    root = make_root("bot")
    found = find(None, environ={})
    assert (found.name, found.run_dir, found.keeper) == ("bot", str(root.run_dir), os.getpid())


def test_of_two_none_is_meant_and_both_are_named(make_root: MakeRoot, tmp_path: Path) -> None:
    make_root("bot")
    make_root("web")
    error = refused(None)
    assert error.status == 3
    assert str(error) == f"2 trees are running: bot ({tmp_path}/bot/tree.toml), web ({tmp_path}/web/tree.toml)"
    assert [tree.name for tree in running()] == ["bot", "web"]


def test_by_name(make_root: MakeRoot) -> None:
    make_root("bot")
    make_root("web")
    assert find(None, "web", {}).name == "web"
    error = refused(None, "wbe")
    assert (error.status, str(error), error.mend) == (3, "no tree named wbe is running", "running: bot, web")


def test_by_file_in_order_option_environment_folder(make_root: MakeRoot, tmp_path: Path) -> None:
    for name in ("here", "there", "elsewhere"):
        make_root(name, tree_file(tmp_path / name))
    os.chdir(tmp_path / "here")
    assert find(None, environ={}).name == "here"
    environ = {"SUPERVISOR_TREE_CONFIG": str(tmp_path / "there" / "tree.toml")}
    assert find(None, environ=environ).name == "there"
    (tmp_path / "link.toml").symlink_to(tmp_path / "elsewhere" / "tree.toml")
    assert find(["../link.toml"], environ=environ).name == "elsewhere"


def test_by_the_state_directory_of_the_file_where_no_run_directory_names_it(
    make_root: MakeRoot, tmp_path: Path
) -> None:
    file = tree_file(tmp_path / "own", '[tree]\nname = "mine"\ndir = "deep"\nstate_dir = "state"\n')
    root = make_root("mine", file)
    state = tmp_path / "own" / "deep" / "state"
    state.mkdir(parents=True)
    (root.run_dir / "run.json").unlink()
    (state / "run.json").write_text(json.dumps(root.run))
    assert find([str(file)], environ={}).name == "mine"
    assert running() == []


def test_a_tree_that_does_not_run_is_named_with_how_to_start_it(make_root: MakeRoot, tmp_path: Path) -> None:
    make_root("other")
    file = tree_file(tmp_path / "idle")
    error = refused([str(file)])
    assert (error.status, str(error)) == (3, f"tree idle ({file}) is not running")
    assert error.mend == f"start it with `supervisor-tree start -c {file}`; running: other (-t NAME)"


def test_a_dead_keepers_files_are_ignored(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root("bot")
    root.run |= DEAD
    root.write_run()
    assert running() == []
    root.run |= {"keeper": os.getpid(), "keeper_start": 1}  # another process has that pid now
    root.write_run()
    assert running() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tree": "x"}', '{"tree": 1, "keeper": "no"}'])
def test_damaged_files_are_ignored(make_root: MakeRoot, text: str) -> None:
    root = make_root("bot")
    (root.run_dir / "run.json").write_text(text)
    assert running() == []


def test_a_held_lock_without_a_socket_is_running_but_unreachable(make_root: MakeRoot, tmp_path: Path) -> None:
    file = tree_file(tmp_path / "locked")
    (tmp_path / "locked" / ".supervisor-tree").mkdir()
    with open(tmp_path / "locked" / ".supervisor-tree" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        error = refused([str(file)])
    assert (error.code, error.status, str(error)) == ("unreachable", 1, "tree locked is running, but unreachable")


def test_a_missing_or_broken_file_is_a_configuration_error(make_root: MakeRoot, tmp_path: Path) -> None:
    error = refused([str(tmp_path / "none.toml")])
    assert (error.status, str(error)) == (2, f"{tmp_path}/none.toml: No such file or directory")
    file = tree_file(tmp_path / "broken", "[tree\n")
    error = refused([str(file)])
    assert error.status == 2
    assert str(error).startswith(f"{file}: ")


def test_somebody_elses_folder_in_tmp_is_not_looked_into(
    make_root: MakeRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_root("bot")
    monkeypatch.setattr("os.getuid", lambda: os.stat(tmp_path).st_uid + 1)
    assert running() == []


def test_the_place_of_a_tree_is_known_whether_it_runs_or_not(make_root: MakeRoot, tmp_path: Path) -> None:
    file = tree_file(tmp_path / "idle", '[tree]\nname = "mine"\n')
    assert place([str(file)], None, {}) == ("mine", str(tmp_path / "idle" / ".supervisor-tree"))
    root = make_root("bot")
    for config, tree in ((None, None), (None, "bot"), ([root.run["file"]], None)):
        assert place(config, tree, {}) == ("bot", root.run["state_dir"])
