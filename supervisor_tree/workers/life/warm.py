"""All that a worker may need of ours, imported once by the process that forks them: no fork pays for it again."""

from __future__ import annotations

import contextlib
from importlib import import_module

for _name in (
    "logging",
    "random",
    "typing",
    "supervisor_tree.workers.functions",
    "supervisor_tree.workers.life.carrying",
    "supervisor_tree.workers.life.channel",
    "supervisor_tree.workers.life.living",
    "supervisor_tree.workers.life.looping",
    "supervisor_tree.workers.tick",
):
    import_module(_name)

with contextlib.suppress(ModuleNotFoundError):  # an interpreter of the user's own need not have it
    import_module("msgspec.inspect")
