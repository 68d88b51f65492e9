"""How many descriptors the root may have open: one for each worker that speaks, and what sockets and files need.

libzmq ends its process when it may open no more connections. So the limit is raised as far as it goes, and whoever
counts connections keeps away from it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

SPARE = 200
"""Descriptors for everything else: journal, control socket, what threads open."""


def raise_limit() -> None:
    """Take as many as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard
    if sys.platform == "darwin" and hard == resource.RLIM_INFINITY:
        most = os.sysconf("SC_OPEN_MAX")
    if most > soft or most == resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def connections() -> int:
    """How many connections one channel may hold."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(soft // 2, soft - SPARE)
