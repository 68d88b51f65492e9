"""What tests of sd_notify share: where the clients of others come from."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def systemd_notify() -> str:
    """The command of systemd: a client of ours that knows nothing of us."""
    found = shutil.which("systemd-notify")
    if found is None:
        pytest.skip("systemd-notify is not here: on Debian, apt-get install systemd")
    return found


@pytest.fixture
def redis(tmp_path: Path) -> str:
    """A daemon that speaks sd_notify. Debian's redis-server starts one for all when installed; the same program lies in
    redis-tools, which does not, under another name."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    found = shutil.which("redis-check-rdb")
    if found is None:
        pytest.skip("redis is not here: on Debian, apt-get install redis-tools")
    link = tmp_path / "redis-server"
    link.symlink_to(found)
    return str(link)


@pytest.fixture
def gunicorn() -> str:
    """A server that speaks sd_notify and replaces its main process by a new one (USR2)."""
    if importlib.util.find_spec("gunicorn") is None:
        pytest.skip("gunicorn is not here: pip install gunicorn")
    return "gunicorn"
