"""A fork that the system refuses."""

from __future__ import annotations

import errno
import os

import pytest

from supervisor_tree.workers.zygote.forking import Fork


def test_a_refused_fork_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with pytest.raises(OSError, match="temporarily"):
            Fork("a", lambda: 0).start()
    assert len(os.listdir("/dev/fd")) == before
