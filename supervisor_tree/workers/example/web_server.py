"""Serves one folder over HTTP, for this machine only: GET and HEAD of regular files below it, nothing else.

    python -m supervisor_tree.workers.example.web_server --folder web --port 8765

A program that knows nothing of the tree: a shim runs it, and watches whether it answers. Its log has one line for the
start and one for each request that was refused; what went well is not said.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from supervisor_tree.workers.example.stopping import Stopping

PATIENCE = 10.0
"""Seconds that a silent connection is kept: without it, idle ones would gather for ever."""


class Handler(SimpleHTTPRequestHandler):
    """The standard library's, without directory listings and without ways out of the folder."""

    protocol_version = "HTTP/1.1"
    server_version = "supervisor-tree"
    sys_version = ""
    timeout = PATIENCE

    def translate_path(self, path: str) -> str:
        """The file that is asked for, every link resolved; a name that cannot exist when that lies outside.

        The base class already drops `..`; a link inside the folder would still lead out of it."""
        folder = os.path.realpath(self.directory)
        try:
            file = os.path.realpath(super().translate_path(path))
        except (OSError, ValueError):  # such as a NUL byte in the name
            return os.path.join(folder, "\0")
        return file if file == folder or file.startswith(folder + os.sep) else os.path.join(folder, "\0")

    def send_head(self):  # type: ignore[no-untyped-def]  # the base class says nothing either
        if "\0" in self.translate_path(self.path):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # the files change every few seconds
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: what is worth a line goes through `log_error`."""

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class calls it so
        if not format.startswith("Request timed out"):  # how each browser's spare connection ends
            self.log_message("%s: " + format, self.requestline, *args)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle of an answer is no failure of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="web_server", description="Serves one folder over HTTP on the loopback.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8765, help="default: 8765; 0: any that is free")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        print(f"{options.folder} is no folder: make it, or name another with --folder", file=sys.stderr)
        return 1

    try:
        server = Server((options.host, options.port), partial(Handler, directory=str(options.folder)))
    except OverflowError:
        print(f"{options.port} is no port: choose one from 1 to 65535", file=sys.stderr)
        return 1
    except OSError as error:
        mend = "; choose another with --port" if error.errno == errno.EADDRINUSE else ""
        print(f"{options.host}:{options.port}: {error.strerror}{mend}", file=sys.stderr)
        return 1
    with server, Stopping() as stopping:
        server.timeout = 0
        host, port = server.server_address[:2]
        print(f"serving {options.folder} on http://{host!s}:{port}/", flush=True)
        # why not serve_forever: it looks twice a second whether it should end
        while not stopping.asked:
            if stopping.wait(None, server.fileno()):
                server.handle_request()
    return 0


if __name__ == "__main__":
    sys.exit(main())
