"""The folders of a tree whose cgroup is delegated to it, by their names::

(where `start` was run)
  supervisor-tree.ID    the tree, by the first half of its id
    tree                keeper, root, logger, zygotes
    worker.NAME         an incarnation of a worker; worker.NAME~2 where one before has left something on purpose
"""

from __future__ import annotations

import os

from supervisor_tree.system import means

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor_tree.system.cgroup import Cgroup

TREE = "supervisor-tree."
HOME = "tree"
_WORKER = "worker."
_AGAIN = "~"
"""In no worker's name."""
_NAME_MOST = 200
"""Characters; the system takes 255 bytes."""


def of_tree(tree_id: str) -> str:
    return TREE + tree_id[:16]


def of_worker(name: str, number: int = 1) -> str:
    """``number``: 2, 3, … where the others are taken."""
    legal = "".join(each if each.isalnum() or each in "_.@:+-" else "_" for each in name)[:_NAME_MOST]
    return f"{_WORKER}{legal}" + (f"{_AGAIN}{number}" if number > 1 else "")


def worker(folder: str) -> str | None:
    """Whose a folder is, by its name; None: no worker's."""
    return folder.removeprefix(_WORKER).partition(_AGAIN)[0] if folder.startswith(_WORKER) else None


def below(top: Cgroup, line: str | None) -> str | None:
    """The name of the folder in ``top`` that this line of /proc lies in, however deep."""
    if line is None or not line.startswith(top.line + "/"):
        return None
    return line[len(top.line) + 1 :].partition("/")[0]


def mine() -> Cgroup | None:
    """The tree's folder, for who was started by a keeper (root, logger); None: it has none."""
    own = means.own_cgroup()
    return own.parent if own is not None and own.name == HOME and own.parent.name.startswith(TREE) else None


def remove_left(own: Cgroup) -> None:
    """Remove what trees that are over have left in the folder that they were started in."""
    for each in own.folders():
        if each.name.startswith(TREE) and not each.populated:
            each.remove()


def give_back(top: Cgroup) -> None:
    """The tree is over: where it was started, processes may be started again. Whoever is the last of several does it.

    Raises:
        OSError: another one is there, or somebody else divides that folder.
    """
    remove_left(top.parent)
    top.disable()
    top.parent.disable()


def note(top: Cgroup) -> dict[str, Any]:
    """What a later start finds it by."""
    return {"path": top.path, "line": top.line, "identity": top.identity()}


def noted(said: object) -> Cgroup | None:
    """The folder of a `note` of this boot, if it is there still and we are not in it."""
    from supervisor_tree.system.cgroup import Cgroup

    if not isinstance(said, dict) or not isinstance(said.get("path"), str) or not isinstance(said.get("line"), str):
        return None
    top = Cgroup(said["path"], said["line"])
    own = means.cgroup_line(os.getpid())
    if own is None or below(top, own) is not None or not top.name.startswith(TREE):
        return None
    return top if top.identity() is not None and top.identity() == said.get("identity") else None
