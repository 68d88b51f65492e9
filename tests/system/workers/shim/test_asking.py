"""Questions to real servers: what counts as an answer, and in which words the rest is said."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from supervisor_tree.workers.shim.asking import HttpQuestion, Question, TcpQuestion, UnixQuestion

Answer = Callable[[bytes], bytes | None]


@asynccontextmanager
async def server(answer: Answer, keep_open: bool = False) -> AsyncIterator[int]:
    """A server that reads a request's head and answers with these bytes (None: never); its port."""
    hold = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            content = answer(await reader.readuntil(b"\r\n\r\n"))
            if content is None:
                await hold.wait()
            else:
                writer.write(content)
                await writer.drain()
                if keep_open:
                    await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        hold.set()
        listening.close()


def run(asked: Callable[[], Awaitable[str | None]]) -> str | None:
    async def within() -> str | None:
        async with asyncio.timeout(10):
            return await asked()

    return asyncio.run(within())


def http(answer: bytes, *, keep_open: bool = False, path: str = "/health", **options: object) -> str | None:
    """What a question comes to that is answered so; the URL is left out."""

    async def asked() -> str | None:
        async with server(lambda _: answer, keep_open) as port:
            return await HttpQuestion(f"http://127.0.0.1:{port}{path}", **options).ask()  # type: ignore[arg-type]

    return run(asked)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.0 204 No Content\r\n\r\n", None),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answers 503 Service Unavailable"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "answers 302 Found"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not answer as HTTP does"),
        (b"HTTP/1.1 200", "does not answer as HTTP does"),
        (b"", "does not answer as HTTP does"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "does not answer as HTTP does"),
    ],
)
def test_the_status_of_an_answer(answer: bytes, said: str | None) -> None:
    assert http(answer) == said


def test_other_statuses_may_be_good() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\n\r\n"
    assert http(answer, codes=("2xx", "401")) is None
    assert http(answer, codes=("4xx",)) is None
    assert http(answer, codes=("200", "5xx")) == "answers 401 Unauthorized"


@pytest.mark.parametrize(
    "body",
    [
        b'Content-Length: 25\r\n\r\n{"state": {"ids": [7,8]}}',
        b'Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{"sta\r\n14\r\nte": {"ids": [7,8]}}\r\n0\r\n\r\n',
        b'\r\n{"state": {"ids": [7,8]}}',
    ],
)
def test_the_body_of_an_answer_however_it_is_sent(body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + body
    kept = not body.startswith(b"\r\n")
    assert http(answer, keep_open=kept, body=r'"ids": \[') is None
    assert http(answer, keep_open=kept, key="state.ids[1]") is None
    assert http(answer, keep_open=kept, body="^ids") == 'answers without "^ids"'
    assert http(answer, keep_open=kept, key="state.ids[2]") == "answers without state.ids[2]"


def test_a_body_that_is_no_json() -> None:
    assert http(b"HTTP/1.1 200 OK\r\n\r\nhello", key="a") == "does not answer with JSON"
    assert http(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000, key="a") == "does not answer with JSON"


def test_the_request_is_one_that_servers_understand() -> None:
    heard: list[bytes] = []

    async def asked() -> str | None:
        def answer(request: bytes) -> bytes:
            heard.append(request)
            return b"HTTP/1.1 200 OK\r\n\r\n"

        async with server(answer) as port:
            return await HttpQuestion(f"http://me:p%40ss@127.0.0.1:{port}/a?b=c").ask()

    assert run(asked) is None
    head = heard[0].decode().split("\r\n")
    assert head[0] == "GET /a?b=c HTTP/1.1"
    assert "Authorization: Basic bWU6cEBzcw==" in head
    assert any(line.startswith("Host: 127.0.0.1:") for line in head)


def test_a_server_that_never_answers_is_left_by_who_asks() -> None:
    async def asked() -> str | None:
        async with server(lambda _: None) as port:
            question = HttpQuestion(f"http://127.0.0.1:{port}/")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(question.ask(), 0.1)
        return None

    run(asked)


@pytest.mark.parametrize("kind", ["tcp", "http", "unix"])
def test_nobody_listens(kind: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        question: Question = {
            "tcp": TcpQuestion("127.0.0.1", port),
            "http": HttpQuestion(f"http://127.0.0.1:{port}/"),
            "unix": UnixQuestion(str(tmp_path / "none.sock")),
        }[kind]
        assert run(question.ask) == ("is not there" if kind == "unix" else "refuses connections")


def test_somebody_accepts(tmp_path: Path) -> None:
    path = os.path.relpath(tmp_path / "a.sock")  # a socket's path is short
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(path)
        assert run(UnixQuestion(path).ask) == "refuses connections"
        unix.listen()
        assert run(TcpQuestion("127.0.0.1", tcp.getsockname()[1]).ask) is None
        assert run(UnixQuestion(path).ask) is None
