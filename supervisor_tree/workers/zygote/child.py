"""What a fork does between the fork and the worker's first line.

It becomes the process that was asked for, says so to the keeper over ``talk``, and waits for its *go*: the keeper has
its pid in the table before anything of the user's runs. End of file there means that nobody keeps it any more.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import types

from supervisor_tree.keeper.spawn_helper import Failure, become
from supervisor_tree.system import means
from supervisor_tree.workers import life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from supervisor_tree.workers.zygote.naming import Names

_TALK = 3
"""The one descriptor beside 0, 1 and 2 until *go*."""
_NOT_BECOME = 127


class Child:
    """
    Args:
        order: the ``fork`` frame.
        names: where it is written who we are.
        out, err, talk: its descriptors, by their numbers in the zygote.
        forget: lets go of what is the zygote's own.
    """

    def __init__(
        self, order: dict[str, Any], names: Names, out: int, err: int, talk: int, forget: Callable[[], object]
    ) -> None:
        self._order = order
        self._names = names
        self._out = out
        self._err = err
        self._talk = talk
        self._forget = forget

    def live(self) -> int:
        """Become the worker and be it; its exit status."""
        order = self._order
        os.setsid()
        self._forget()
        self._descriptors()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        means.call_self(order["name"])
        self._names.take(f"supervisor-tree: {order['name']} {order['target'] or ''}", order["name"], order["inc"])
        try:
            self._become()
        except Failure as failure:
            self._say({"ok": False, "errno": failure.errno, "reason": str(failure)})
            os._exit(_NOT_BECOME)
        self._say({"ok": True})
        # The keeper's answer takes its time; meanwhile:
        self._environment()
        self._interpreter()
        if os.read(_TALK, 1) != b"g":
            os._exit(_NOT_BECOME)
        os.close(_TALK)
        return life.live(order["target"], _code(order["dill"]), order["args"])

    def _descriptors(self) -> None:
        """Standard input, output and error, ``talk``, and nothing else."""
        # None of these numbers is 0, 1 or 2: those are open in the zygote.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(self._out, 1)
        os.dup2(self._err, 2)
        os.dup2(self._talk, _TALK, inheritable=False)
        os.closerange(_TALK + 1, _highest() + 1)

    def _become(self) -> None:
        """
        Raises:
            Failure: it can't be what was asked for.
        """
        order = self._order
        cwd = order["cwd"]
        if cwd is not None:
            try:
                os.chdir(cwd)
            except OSError as error:
                raise Failure(error.errno or 0, f"cwd {cwd}: {error.strerror}") from None
        if order["umask"] is not None:
            os.umask(order["umask"])
        # Its user and group are the zygote's.
        become({"drop": (), "user": None, "group": None, **{key: order[key] for key in ("nofile", "limits", "nice")}})

    def _say(self, said: dict[str, Any]) -> None:
        pid = os.getpid()
        os.write(_TALK, json.dumps({**said, "pid": pid, "start": means.process_identity(pid) or 0}).encode())

    def _environment(self) -> None:
        env, now = self._order["env"], dict(os.environ)
        # Mostly the zygote's own: what is the same is not touched.
        for key in now.keys() - env.keys():
            del os.environ[key]
        for key, text in env.items():
            if now.get(key) != text:
                os.environ[key] = text
        if env.get("TZ") != now.get("TZ"):
            time.tzset()

    def _interpreter(self) -> None:
        """What an interpreter started for this worker would have of its own."""
        order = self._order
        ours = [os.getcwd(), *(each for each in order["env"].get("PYTHONPATH", "").split(os.pathsep) if each)]
        for each in ours:
            # What the zygote has seen there may be older than the files are now.
            sys.path_importer_cache.pop(each, None)
        sys.path[:] = list(dict.fromkeys([*ours, *sys.path]))
        sys.argv[:] = [order["target"] or order["name"]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        if sys.stdout is not None:
            # A log is read while it is written.
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        numpy = sys.modules.get("numpy.random")
        if numpy is not None:
            # `random` does this by itself. Without it every worker would throw the same dice. (With no number given,
            # it takes a third of the time of a start.)
            numpy.seed(int.from_bytes(os.urandom(4), "little"))


def _highest() -> int:
    """The highest descriptor that is open."""
    return max(map(int, os.listdir("/dev/fd")))


def _code(text: str | None) -> bytes | None:
    if text is None:
        return None
    import base64

    return base64.b64decode(text)
