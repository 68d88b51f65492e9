"""Where alerts arrive in tests: a mail server, a web server, and ones that are dead or hang; real ones, on loopback."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from tests.support.ports import closed_port
from tests.support.waiting import PATIENCE, eventually


class Mail:
    """What a mail server has received."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[EmailMessage] = []

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=tree@example.com&to=ops@example.com&mode=insecure"

    def wait(self, count: int = 1, timeout: float = PATIENCE) -> list[EmailMessage]:
        """The messages, once there are so many."""
        eventually(lambda: len(self.messages) >= count, lambda: f"{count} mails; {len(self.messages)} came", timeout)
        return self.messages


def text_of(message: EmailMessage) -> str:
    """The plain text of a mail."""
    body = message.get_body(preferencelist=("plain",))
    assert body is not None
    return cast("str", body.get_content()).replace("\r\n", "\n")


@contextlib.contextmanager
def mail_server(port: int = 0) -> Iterator[Mail]:
    """A mail server on this port (0: any that is free)."""
    from aiosmtpd.controller import Controller

    if port == 0:
        with closed_port() as port, mail_server(port) as mail:
            yield mail
        return
    mail = Mail(port)

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            mail.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            return "250 OK"

    controller = Controller(Handler(), hostname="127.0.0.1", port=mail.port, ready_timeout=PATIENCE)
    controller.start()
    try:
        yield mail
    finally:
        controller.stop()


class Web:
    """What a web server was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.posts: list[dict[str, Any]] = []
        self.status = 200
        """What it answers."""

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"

    def wait(self, count: int = 1, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        eventually(lambda: len(self.posts) >= count, lambda: f"{count} posts; {len(self.posts)} came", timeout)
        return self.posts


@contextlib.contextmanager
def web_server(port: int = 0) -> Iterator[Web]:
    """A web server that takes JSON."""
    web = Web(port)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if web.status == 200:
                web.posts.append(json.loads(body))
            self.send_response(web.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Nothing on the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def hanging_server() -> Iterator[int]:
    """A port where somebody listens, takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]
