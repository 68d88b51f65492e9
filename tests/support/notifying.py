"""A worker's side of sd_notify in as little Python as can be, for programs given to `python -S -c`."""

from __future__ import annotations

SAY = """\
import os, signal, socket, sys, time
_told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(text):
    _told.sendto(text if isinstance(text, bytes) else text.encode(), os.environ["NOTIFY_SOCKET"])
def sleep():
    while True:
        time.sleep(1000)
"""


def program(text: str) -> str:
    """The source of a program that may `say` things; `text` may be indented as the test is."""
    import textwrap

    return SAY + textwrap.dedent(text)
