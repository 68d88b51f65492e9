"""Two children must not write one file (rule 15)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from supervisor_tree.config.variables import MARK

if TYPE_CHECKING:
    from supervisor_tree.config.loading import Loader


def check_logs(loader: Loader) -> None:
    """Note log files that two children would share; their rotation would cut one another's lines."""
    own = f"{loader.state_dir}/logs/"
    written: dict[str, tuple[str, str]] = {}
    for kind, children in (("workers", loader.workers), ("jobs", loader.jobs)):
        for bare, settings in children.items():
            log = settings.log
            if log is None:
                continue
            for key, file in (("file", log.file), ("stderr", log.stderr)):
                if file is None or MARK in file or (key == "stderr" and file == log.file):
                    continue
                # The default's path is normal already, and there can be thousands of it.
                path = file if file.startswith(own) else os.path.normpath(file)
                other = written.setdefault(path, (kind, bare))
                if other == (kind, bare):
                    continue
                base = loader.base_of[bare]
                if other[1] in loader.sets.get(base, ()):
                    message = f'"{other[1]}" and "{bare}" would both write {file}: put ${{self.instance}} in its name'
                else:
                    message = f'"{other[1]}" writes {file} already: give each a file of its own'
                table = loader.data[kind][base].get("log")
                path_to = (kind, base, "log", key) if isinstance(table, dict) and key in table else (kind, base)
                loader.problems.append((path_to, message))
