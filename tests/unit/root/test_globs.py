"""Which files a pattern means, and which folders must be watched for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_tree.root.planned.globs import Ignored, Pattern, Seen, differences

MATCHES = [
    ("/p/src/**/*.py", "/p/src/a.py", True),
    ("/p/src/**/*.py", "/p/src/x/y/z/a.py", True),
    ("/p/src/**/*.py", "/p/src/a.pyc", False),
    ("/p/src/**/*.py", "/p/srcs/a.py", False),
    ("/p/src/**", "/p/src/x/y", True),
    ("/p/src/**", "/p/src", False),
    ("/p/src", "/p/src", True),
    ("/p/src", "/p/src/x/y", True),
    ("/p/src/", "/p/src/x", True),
    ("/p/src/*", "/p/src/x", True),
    ("/p/src/*", "/p/src/x/y", False),
    ("/p/*/conf/?.toml", "/p/a/conf/b.toml", True),
    ("/p/*/conf/?.toml", "/p/a/b/conf/b.toml", False),
    ("/p/[ab].txt", "/p/a.txt", True),
    ("/p/[ab].txt", "/p/c.txt", False),
    ("/p/**/a/**/b", "/p/x/a/y/z/b", True),
    ("/p/**/a/**/b", "/p/x/y/z/b", False),
    ("/p/**", "/p/x/__pycache__/y", False),
    ("/p/**", "/p/x/.git/HEAD", False),
    ("/p/**", "/p/x/.venv/bin/python", False),
    ("/p/**/.venv/**", "/p/x/.venv/bin/python", True),
    ("/p/.venv/**", "/p/.venv/bin/python", True),
    ("/p/**", "/p/x/file~", False),
    ("/p/**", "/p/x/.file.swp", False),
    ("/p/**", "/p/x/4913", False),
    ("/p/**", "/p/.env", True),
    ("/p/a.pyc", "/p/a.pyc", True),
    ("/**/*.toml", "/a/b.toml", True),
]


@pytest.mark.parametrize(("pattern", "path", "meant"), MATCHES)
def test_a_pattern_means_these(pattern: str, path: str, meant: bool) -> None:
    assert Pattern(pattern).matches(path) is meant


def look(pattern: str, ignored: Ignored | None = None) -> tuple[set[str], set[str]]:
    seen = Seen({}, set())
    Pattern(pattern).look(seen, ignored or Ignored())
    return set(seen.files), {path for path, *_ in seen.folders}


@pytest.mark.parametrize(("pattern", "path", "meant"), MATCHES)
def test_a_look_finds_what_matches(pattern: str, path: str, meant: bool, tmp_path: Path) -> None:
    if pattern.startswith("/**"):
        pytest.skip("not all of the machine")
    file = tmp_path / path[1:]
    file.parent.mkdir(parents=True)
    file.write_text("")
    files, folders = look(f"{tmp_path}{pattern}")
    assert (str(file) in files) is meant
    if meant:
        assert str(file.parent) in folders


def test_of_what_does_not_exist_yet_the_nearest_folder_is_watched(tmp_path: Path) -> None:
    assert look(f"{tmp_path}/a/b/c/**/*.py") == (set(), {str(tmp_path)})
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert look(f"{tmp_path}/a/b/c/**/*.py") == (set(), {str(tmp_path / "a" / "b")})
    (tmp_path / "a" / "b" / "c").mkdir()
    assert look(f"{tmp_path}/a/b/c/**/*.py")[1] == {str(tmp_path / "a" / "b"), str(tmp_path / "a" / "b" / "c")}


def test_a_pattern_without_two_stars_goes_only_as_deep_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    _, folders = look(f"{tmp_path}/*/x.py")
    assert str(tmp_path / "a") in folders
    assert str(tmp_path / "a" / "b") not in folders


def test_a_link_to_a_folder_is_not_gone_into_and_a_link_in_the_base_is_watched(tmp_path: Path) -> None:
    (tmp_path / "releases" / "1").mkdir(parents=True)
    (tmp_path / "releases" / "1" / "main.py").write_text("")
    (tmp_path / "releases" / "1" / "loop").symlink_to(tmp_path / "releases")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "current").symlink_to(tmp_path / "releases" / "1")
    files, folders = look(f"{tmp_path}/app/current/**")
    assert files == {f"{tmp_path}/app/current/main.py", f"{tmp_path}/app/current/loop"}
    assert folders == {f"{tmp_path}/app", f"{tmp_path}/app/current"}
    assert look(f"{tmp_path}/app/current/sub/**")[1] == {f"{tmp_path}/app", f"{tmp_path}/app/current"}


def test_folders_and_log_files_that_are_ignored(tmp_path: Path) -> None:
    for name in ("state/journal", "web.log", "web.log.1", "web.log.idx", "web.logic", "statement"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    files, folders = look(f"{tmp_path}/**", Ignored([f"{tmp_path}/state"], [f"{tmp_path}/web.log"]))
    assert files == {f"{tmp_path}/web.logic", f"{tmp_path}/statement"}
    assert f"{tmp_path}/state" not in folders


def test_differences_are_named() -> None:
    before = {"/a": (1, 1, 1, 1), "/b": (1, 2, 1, 1), "/c": (1, 3, 1, 1)}
    after = {"/a": (1, 1, 1, 1), "/b": (1, 9, 1, 1), "/d": (1, 4, 1, 1)}
    assert differences(before, after) == [("/b", "changed"), ("/d", "added"), ("/c", "removed")]
