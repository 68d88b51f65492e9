"""Garbage on the link between keeper, root and logger: said with its own error, never another one, never kept."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from supervisor_tree.ipc.link import Link, LinkClosed, LinkError, frame

HEADS = [b"", b"[]", b"7", b"null", b"{", b"\xff\xfe", b'{"t": 1e999', b"[" * 5000, b'{"a":' * 5000]


def receive(data: bytes) -> list[tuple[dict[str, object], bytes]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return Link(ours).receive()


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_heads_that_are_none(head: bytes) -> None:
    with pytest.raises(LinkError):
        receive(frame(head))


@pytest.mark.parametrize(("total", "head"), [(0, 0), (3, 0), (4, 1), (10, 2**32 - 1), (2**32 - 1, 4), (2**31, 2**31)])
def test_lengths_that_cannot_be(total: int, head: int) -> None:
    with pytest.raises(LinkError):
        receive(struct.pack(">II", total, head) + b"x" * 100)


def test_random_bytes_and_flipped_bits() -> None:
    dice = random.Random(5)
    good = frame(b'{"t":"event","n":7}', b"blob") * 3
    for _ in range(500):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        for each in (bytes(data), bytes(data[: dice.randrange(len(data))]), dice.randbytes(dice.randrange(200))):
            try:
                for head, _ in receive(each):
                    assert isinstance(head, dict)
            except (LinkError, LinkClosed):
                pass


def test_half_a_frame_is_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours)
        whole = frame(b'{"t":"x"}')
        for byte in whole[:-1]:
            theirs.send(bytes([byte]))
            assert link.receive() == []
        theirs.send(whole[-1:])
        assert link.receive() == [({"t": "x"}, b"")]
