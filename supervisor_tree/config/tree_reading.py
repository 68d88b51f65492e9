"""`[tree]`: read before everything else, in the order in which its keys build on one another."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from supervisor_tree.config.containers import ListOf
from supervisor_tree.config.dotenv import parse as parse_dotenv
from supervisor_tree.config.kinds import FilePath
from supervisor_tree.config.problems import Path, Problem
from supervisor_tree.config.reading import INVALID, At, Invalid, Reading, shown
from supervisor_tree.config.settings import TREE, TreeSettings
from supervisor_tree.config.sources import NAMED, Sources, home_folder
from supervisor_tree.config.tree_kinds import Name
from supervisor_tree.config.variables import Scope
from supervisor_tree.core.spec import Strategy

_LONGEST_RUN_DIR = 80
"""Bytes, so that the sockets' paths below it fit everywhere (104 bytes on macOS)."""


class TreeReader:
    """What is known while a configuration is read, and `[tree]`, which the rest builds on."""

    def __init__(self, sources: Sources, environ: Mapping[str, str]) -> None:
        self.sources = sources
        self.environ = {name: value for name, value in environ.items() if _is_text(name) and _is_text(value)}
        self.data = sources.merged
        self.problems: list[tuple[Path, str]] = []
        self.remarks: list[tuple[Path, str]] = []
        self.located: list[Problem] = list(sources.warnings)
        self.found: list[Problem] = list(sources.problems)
        self.file = os.path.abspath(sources.all[0].file) if sources.all else ""
        self.home = home_folder(environ)
        self.env_values: dict[str, str] = {}
        self.names: dict[str, str] = {"tree.python": sys.executable}
        self.dir = os.path.dirname(self.file)
        self.name = ""
        self.state_dir = ""
        self.tree = TreeSettings()

    # -- scopes ---------------------------------------------------------------------------------

    def variable(self, name: str) -> str | None:
        """Rule 5: the tree's env files, then the environment of `start`."""
        value = self.env_values.get(name)
        return self.environ.get(name) if value is None else value

    def reading(
        self, names: dict[str, str] | None = None, later: tuple[str, ...] = (), *, holds: bool = False
    ) -> Reading:
        return Reading(
            Scope(self.variable, self.names if names is None else names, later), self.dir, self.home, holds=holds
        )

    def collect(self, reading: Reading) -> None:
        self.problems += reading.problems
        self.remarks += reading.warnings

    def table(self, key: str) -> dict[str, Any]:
        """A top-level table; empty when it is not there, or wrong, which is noted."""
        value = self.data.get(key, {})
        if isinstance(value, dict):
            return value
        self.problems.append(((key,), f"must be a table, [{key}{'.NAME' if key in NAMED else ''}], not {shown(value)}"))
        return {}

    # -- the tree itself ------------------------------------------------------------------------

    def tree_table(self) -> None:
        """`[tree]`, in the order in which its keys build on one another: dir, env_file, name, the rest."""
        written = self.table("tree")
        at = At(self.reading(), ("tree",))
        at.reading.base = next(
            (source.folder for source in reversed(self.sources.all) if source.says(("tree", "dir"))), self.dir
        )
        folder = FilePath().read(written["dir"], at, "dir") if "dir" in written else INVALID
        self.dir = at.reading.base = self.dir if isinstance(folder, Invalid) else os.path.normpath(folder)
        self.names["tree.dir"] = self.dir
        env_files = (
            ListOf(FilePath(may_be_missing=True)).read(written["env_file"], at, "env_file")
            if "env_file" in written
            else ()
        )
        if not isinstance(env_files, Invalid):
            self._env_files(env_files, at, written)
        name = Name().read(written["name"], at, "name") if "name" in written else INVALID
        self.name = os.path.basename(self.dir) or "tree" if isinstance(name, Invalid) else name
        self.names["tree.name"] = self.name
        values = TREE.keys({key: value for key, value in written.items() if key not in ("dir", "env_file", "name")}, at)
        self.tree = TreeSettings(
            **{"dir": self.dir, "env_file": () if isinstance(env_files, Invalid) else env_files, "name": self.name}
            | values
        )
        makes = [folder.rstrip("/") for folder in values.get("make_dirs", ())]
        if (
            "dir" in written
            and not isinstance(folder, Invalid)
            and self.dir not in makes
            and not os.path.isdir(self.dir)
        ):
            at.wrong(f'there is no folder {self.dir}: make it, or write make_dirs = ["."]', "dir")
        if self.tree.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
            at.wrong("can't be the root's: give it to a supervisor below, [supervisors.NAME]", "strategy")
        if "on_give_up" in written and "intensity" not in written:
            at.warn("has no effect without `intensity`: the root never gives up", "on_give_up")
        self.state_dir = os.path.normpath(values.get("state_dir") or os.path.join(self.dir, ".supervisor-tree"))
        if self.tree.run_dir is not None and len(os.fsencode(self.tree.run_dir)) > _LONGEST_RUN_DIR:
            at.wrong(f"is too long for a socket's path: use at most {_LONGEST_RUN_DIR} bytes", "run_dir")
        self.collect(at.reading)

    def _env_files(self, env_files: tuple[str, ...], at: At, written: dict[str, Any]) -> None:
        for number, file in enumerate(env_files):
            path = file.removeprefix("?")
            try:
                with open(path, encoding="utf-8") as opened:
                    text = opened.read()
            except (OSError, UnicodeDecodeError) as error:
                if isinstance(error, FileNotFoundError) and file.startswith("?"):
                    continue
                reason = error.strerror if isinstance(error, OSError) else "the text is not UTF-8"
                hint = (
                    f': write "?{os.path.basename(path)}" if it may be missing'
                    if isinstance(error, FileNotFoundError)
                    else ""
                )
                at.wrong(
                    f"can't read {path}: {reason}{hint}",
                    "env_file",
                    *([number] if isinstance(written["env_file"], list) else []),
                )
                continue
            values, strange = parse_dotenv(text)
            self.env_values.update(values)
            self.located += [Problem(path, line, "", "is no KEY=VALUE: ignored") for line in strange]


def _is_text(text: str) -> bool:
    """Whether a variable can be told to others; what is not UTF-8 is still inherited by the children."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
