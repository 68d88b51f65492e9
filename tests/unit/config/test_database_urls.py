"""URLs of databases in the tree file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from supervisor_tree import config

TREE = """
[workers.a]
command = "sleep 1"
[store]
url = "{}"
max_age = "90d"
"""


def load(tmp_path: Path, url: str) -> config.Plan:
    file = tmp_path / "tree.toml"
    file.write_text(TREE.format(url))
    return config.load([str(file)], {"PATH": "/bin", "PASSWORD": "p"})


@pytest.mark.parametrize(
    "url",
    ["sqlite:///x.db", "sqlite:////var/x.db", "postgresql://me:${PASSWORD}@h:5/x", "postgres://h/x?sslmode=require"],
)
def test_those_that_are_one(tmp_path: Path, url: str) -> None:
    plan = load(tmp_path, url)
    assert plan.store.url == url.replace("${PASSWORD}", "p")
    assert plan.store.max_age == 90 * 86400
    assert plan.not_yet == []


@pytest.mark.parametrize("url", ["mysql://x", "x.db", "sqlite:///", "sqlite://x.db", "postgresql://h:port/x"])
def test_those_that_are_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(config.ConfigError, match=r"tree.toml:5: store.url: (must be sqlite:///FILE|is no URL)"):
        load(tmp_path, url)


def test_postgresql_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(config.ConfigError, match=r"store.url: needs the library psycopg: .*\[postgres\]"):
        load(tmp_path, "postgresql://h/x")
    load(tmp_path, "sqlite:///x.db")
