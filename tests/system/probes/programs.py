"""Programs that are probed: they do what files in their folder say, so that a test can change their mind."""

from __future__ import annotations

from pathlib import Path

from tests.support.tree import Tree

# Answers with the status in the file `code` (none: 200) and the body in `body`; `mute`: accepts and says nothing.
WEB = """
import http.server, os, sys, threading
here = os.path.dirname(os.path.abspath(__file__))
def content(name, default):
    try:
        return open(os.path.join(here, name)).read().strip() or default
    except FileNotFoundError:
        return default
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists(os.path.join(here, "mute")):
            threading.Event().wait()
        body = content("body", "{}").encode()
        self.send_response(int(content("code", "200")))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
print("serves", flush=True)
server.serve_forever()
"""


def program(t: Tree, name: str, text: str) -> Path:
    """A program in the tree's folder."""
    path = t.dir / name
    path.write_text(text)
    return path


def say(t: Tree, name: str, text: str = "") -> None:
    """A file, whole at once, as a program under a probe reads it."""
    made = t.dir / f"{name}.new"
    made.write_text(text)
    made.replace(t.dir / name)
