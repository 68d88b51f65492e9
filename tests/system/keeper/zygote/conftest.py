"""A keeper that is asked for Python workers."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.system import means
from tests.system.keeper.conftest import Brain

HERE = Path(__file__).parent
BOOT = HERE.parents[3] / "supervisor_tree" / "workers" / "zygote" / "boot.py"


class Python:
    """Python workers of one keeper; ``preload`` names what their zygote imports."""

    def __init__(self, brain: Brain) -> None:
        self.brain = brain

    def spec(
        self,
        name: str,
        target: str | None,
        args: dict[str, Any] | None = None,
        *,
        preload: tuple[str, ...] = (),
        key: str | None = None,
        interpreter: str = sys.executable,
        dill: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """A spawn effect."""
        rights = {each: more.get(each) for each in ("user", "group") if more.get(each) is not None}
        if rights:
            rights |= {each: more[each] for each in ("nice", "limits", "inherit") if each in more}
        zygote = {
            "key": key or "-".join(("z", *preload, *map(str, rights.values()))),
            "argv": [interpreter, str(BOOT)],
            "cwd": str(self.brain.folder),
            "env": {"PYTHONPATH": str(HERE), "KEPT": "zygote's"},
            "preload": ["plain", *preload],
            **rights,
        }
        if "user" in more:
            zygote["uid"] = uid(more["user"])
        python = {"zygote": zygote, "target": target and f"targets:{target}", "dill": dill, "args": args or {}}
        effect = self.brain.spec(name, python=python, **more)
        effect["env"] = {"PYTHONPATH": str(HERE), **effect["env"]}
        return effect

    def start(self, name: str, target: str = "sleep", args: dict[str, Any] | None = None, **more: Any) -> int:
        """Spawn and wait for `spawned`; the pid."""
        effect = self.spec(name, target, args, **more)
        self.brain.commit(effect)
        return int(self.brain.event("spawned", name=name, inc=effect["inc"])["pid"])

    def told(self, name: str = "told") -> Any:
        return json.loads(self.brain.await_file(name))

    def zygote(self, key: str = "z") -> int:
        """pid of the newest zygote of that key, once it is ready."""
        return int(self.brain.event("zygote", what="ready", zygote=key)["pid"])


def uid(user: str) -> int | None:
    if user.isdigit():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


@pytest.fixture
def python(brain: Brain) -> Iterator[Python]:
    """A keeper with default limits and its Python workers; nothing it opened is left open at the end."""
    one = Python(brain)
    yield one
    assert "mistake" not in brain.output(), brain.output()


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


portable = means.name == "portable"
