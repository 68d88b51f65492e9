"""Questions to a program over its sockets: does it accept a connection, does it answer HTTP as it should?

asyncio is imported when a question is asked, not before: the tree file's `check` reads questions too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from supervisor_tree.core import json_path

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable
    from ssl import SSLContext

    Resolve = Callable[[str], Awaitable[list[str]]]
    """From the name of a machine to its addresses; raises OSError where there are none."""

_LONGEST_HEAD = 64 << 10
_LONGEST_BODY = 8 << 20
_FULL = 0.05
"""Seconds after which a socket whose queue was full is tried again."""


class Question:
    """`ask` waits for the answer; who asks bounds the time. ``str()``: what it asks, for people."""

    async def ask(self) -> str | None:
        """None: as it should be; else what was wrong, as the end of a sentence that begins with the question."""
        raise NotImplementedError


class TcpQuestion(Question):
    """Does somebody accept connections there?"""

    def __init__(self, host: str, port: int, resolve: Resolve | None = None) -> None:
        """``resolve``: where names are looked up; without it in the loop's own threads."""
        self.host = host
        self.port = port
        self._resolve = resolve

    def __str__(self) -> str:
        return f"tcp {self.host}:{self.port}"

    async def ask(self) -> str | None:
        try:
            _, writer = await _open(self.host, self.port, self._resolve)
        except OSError as error:
            return reason(error)
        await _close(writer)
        return None


class UnixQuestion(Question):
    """Does somebody accept connections on the socket at ``path``?"""

    def __init__(self, path: str, name: str | None = None) -> None:
        """``name``: what people call it, where that is not its path."""
        self.path = path
        self._name = path if name is None else name
        self._place = os.path.expanduser(path)

    def __str__(self) -> str:
        return f"unix {self._name}"

    async def ask(self) -> str | None:
        import asyncio
        import socket

        with socket.socket(socket.AF_UNIX) as asking:
            asking.setblocking(False)
            while True:
                try:
                    asking.connect(self._place)
                    return None
                except BlockingIOError:
                    # Its queue is full. asyncio would wait for the socket to be writable, which this one is at once,
                    # and take that for an answer of one that accepts nothing.
                    await asyncio.sleep(_FULL)
                except OSError as error:
                    return reason(error)


class HttpQuestion(Question):
    """Is a GET answered with one of ``codes`` (``200``, ``2xx``), a body that matches, and a JSON ``key`` in it?"""

    def __init__(
        self,
        url: str,
        codes: tuple[str, ...] = ("2xx",),
        body: str | None = None,
        key: str | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """``resolve``: as of `TcpQuestion`. Raises ValueError when ``url`` is none of HTTP."""
        self.url = url
        self._resolve = resolve
        self._parts = _split(url)
        self._codes = codes
        self._body = None if body is None else re.compile(body)
        self._key = key
        self._steps = None if key is None else json_path.steps(key)

    def __str__(self) -> str:
        return self.url

    async def ask(self) -> str | None:
        import asyncio

        secure = self._parts.scheme == "https"
        port = self._parts.port or (443 if secure else 80)
        try:
            assert self._parts.hostname is not None
            reader, writer = await _open(self._parts.hostname, port, self._resolve, secure)
        except OSError as error:
            return reason(error)
        try:
            writer.write(self._request())
            await writer.drain()
            return await self._judge(reader)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return "does not answer as HTTP does"
        except OSError as error:
            return reason(error)
        finally:
            await _close(writer)

    def _request(self) -> bytes:
        target = self._parts.path or "/"
        if self._parts.query:
            target += f"?{self._parts.query}"
        host = self._parts.netloc.rpartition("@")[2]
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "User-Agent: supervisor-tree", "Accept: */*"]
        if self._parts.username is not None:
            from base64 import b64encode
            from urllib.parse import unquote

            pair = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            lines.append(f"Authorization: Basic {b64encode(pair.encode()).decode()}")
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode()

    async def _judge(self, reader: StreamReader) -> str | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = head[0].partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not code.isdecimal():
            raise ValueError(head[0])
        if not any(code == each or (code[0] == each[0] and each[1:] == "xx") for each in self._codes):
            return f"answers {rest.strip()}"
        if self._body is None and self._steps is None:
            return None
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await _body(reader, headers)
        if self._body is not None and not self._body.search(body.decode(errors="replace")):
            return f'answers without "{self._body.pattern}"'
        if self._steps is not None:
            try:
                json_path.follow(json.loads(body), self._steps)
            except (ValueError, RecursionError):
                return "does not answer with JSON"
            except LookupError:
                return f"answers without {self._key}"
        return None


async def _open(
    host: str, port: int, resolve: Resolve | None, secure: bool = False
) -> tuple[StreamReader, StreamWriter]:
    """A connection to the first address of ``host`` that accepts one. Raises OSError when none does."""
    import asyncio

    addresses = [host] if resolve is None else await resolve(host)
    failed = OSError("it has no address")
    for address in addresses:
        try:
            return await asyncio.open_connection(
                address,
                port,
                limit=_LONGEST_HEAD,
                ssl=_trust() if secure else None,
                server_hostname=host if secure else None,
            )
        except OSError as error:
            failed = error
    raise failed


_trusted: SSLContext | None = None


def _trust() -> SSLContext:
    """Whom the machine trusts: read once, for that takes 20 ms."""
    global _trusted
    if _trusted is None:
        import ssl

        _trusted = ssl.create_default_context()
    return _trusted


async def _body(reader: StreamReader, headers: dict[str, str]) -> bytes:
    """The body of an answer, at most 8 MiB of it."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts: list[bytes] = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            if sum(map(len, parts)) + size > _LONGEST_BODY:
                break
            parts.append(await reader.readexactly(size))
            await reader.readline()
        return b"".join(parts)
    if "content-length" in headers:
        return await reader.readexactly(min(int(headers["content-length"]), _LONGEST_BODY))
    read = b""
    while len(read) < _LONGEST_BODY and (part := await reader.read(1 << 16)):
        read += part
    return read


async def _close(writer: StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f'"{url}" is no URL of HTTP')
    return parts


def reason(error: OSError) -> str:
    """What went wrong with a socket, as the end of a sentence."""
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "breaks the connection off"
    if isinstance(error, FileNotFoundError):
        return "is not there"
    return f"can't be reached ({error.strerror or error})"
