"""What the forked workers of these tests run: plain functions, which write what they see where they are."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def _write(name: str, told: object) -> None:
    path = Path(name)
    path.with_suffix(".new").write_text(json.dumps(told) + "\n")
    path.with_suffix(".new").rename(path)


def _wait() -> None:
    while True:
        signal.pause()


def sleep(file: str = "up") -> None:
    """Say that it is there, and stay."""
    _write(file, [time.monotonic(), os.getpid()])
    _wait()


def tell(file: str = "told") -> None:
    """What an own program could say of itself."""
    status = Path("/proc/self/status").read_text()
    before = os.umask(0)
    os.umask(before)
    told: dict[str, Any] = {
        "argv": sys.argv,
        "blocked": status.split("SigBlk:")[1].split()[0],
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "group": os.getpgrp() == os.getpid(),
        "modules": sorted(sys.modules),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "path": sys.path,
        "python": "{}.{}".format(*sys.version_info),
        "session": os.getsid(0) == os.getpid(),
        "threads": len(os.listdir("/proc/self/task")),
        "uid": os.getuid(),
        "umask": before,
    }
    _write(file, told)
    _wait()


def end(how: Any = 0, *, at_once: bool = True) -> int:
    """End with a status, by a signal (``"KILL"``), or by an exception: at once, or when SIGUSR1 comes."""
    if not at_once:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        _write("waits", True)
        signal.sigwait([signal.SIGUSR1])
    return _end(how)


def _end(how: Any) -> int:
    if isinstance(how, int):
        raise SystemExit(how)
    if how == "return":
        return 0
    if how == "exception":
        raise ValueError("as it was asked to")
    number = getattr(signal, f"SIG{how}")
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return _end(how)


def family() -> None:
    """Two children: a program, and a fork that has left the session and lost its parent."""
    program = subprocess.Popen(["/bin/sleep", "1000"])
    script = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\nprint(os.getpid(), flush=True)\ntime.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as away:
        assert away.stdout is not None
        far = int(away.stdout.readline())
    _write("family", [program.pid, far])
    _wait()


def forks_away() -> None:
    """A fork of a fork, in a session of its own."""
    import multiprocessing

    def near() -> None:
        multiprocessing.get_context("fork").Process(target=far).start()
        os._exit(0)

    def far() -> None:
        os.setsid()
        _write("far", os.getpid())
        _wait()

    multiprocessing.get_context("fork").Process(target=near).start()
    _wait()


def speak() -> None:
    print("to standard output")
    print("to standard error", file=sys.stderr)
    _write("spoken", True)
    _wait()


def dice() -> None:
    import random

    import numpy as np

    _write("dice", [random.random(), float(np.random.random())])
    _wait()


def tidy() -> None:
    import atexit

    atexit.register(_write, "tidied", True)
