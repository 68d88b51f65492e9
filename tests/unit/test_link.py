"""Frames over the link: whole or not at all, whatever arrives in whatever pieces."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_tree.ipc.link import Link, LinkClosed, LinkError, encode, pack_items, unpack_items

heads = st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=9)), max_size=4)


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(st.tuples(heads, st.binary(max_size=50)), max_size=6), cuts=st.lists(st.integers(1, 40)))
def test_frames_arrive_as_sent_in_whatever_pieces(
    frames: list[tuple[dict[str, object], bytes]], cuts: list[int]
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(theirs)
        data = b"".join(encode(head, blob) for head, blob in frames)
        received = []
        for cut in [*cuts, len(data) or 1]:
            piece, data = data[:cut], data[cut:]
            if piece:
                ours.sendall(piece)
            received += link.receive()
        assert received == frames


@settings(max_examples=100, deadline=None)
@given(garbage=st.binary(min_size=8, max_size=200))
def test_garbage_is_an_error_or_waits_for_more_and_never_anything_else(garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(garbage)
        try:
            frames = Link(theirs).receive()
        except LinkError:
            return
        for head, _ in frames:
            assert isinstance(head, dict)


def test_a_frame_beyond_every_size_is_refused_before_it_is_kept() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"\xff\xff\xff\xff\x00\x00\x00\x02{}")
        with pytest.raises(LinkError, match="bytes"):
            Link(theirs).receive()


def test_a_full_socket_queues_and_flush_goes_on() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender, receiver = Link(ours), Link(theirs)
        blob = os.urandom(3_000_000)
        sender.send({"n": 1}, blob)
        sender.send({"n": 2})
        assert sender.wants_write
        got: list[tuple[dict[str, object], bytes]] = []
        while len(got) < 2:
            got += receiver.receive()
            sender.flush()
        assert got == [({"n": 1}, blob), ({"n": 2}, b"")]
        assert (sender.wants_write, sender.queued) == (False, 0)


def test_descriptors_come_with_their_frame_in_order() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender, receiver = Link(ours), Link(theirs)
        read, write = os.pipe()
        sender.send({"t": "fds"}, fds=[read, write])
        assert receiver.receive() == [({"t": "fds"}, b"")]
        first, second = receiver.take_fd(), receiver.take_fd()
        os.write(second, b"x")
        assert os.read(first, 1) == b"x"
        assert not os.get_inheritable(first)
        with pytest.raises(LinkError):
            receiver.take_fd()
        for fd in (read, write, first, second):
            os.close(fd)


def test_the_last_frames_are_delivered_before_the_end_is_told() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        link = Link(theirs)
        Link(ours).send({"n": 1})
        ours.close()
        assert link.receive() == [({"n": 1}, b"")]
        with pytest.raises(LinkClosed):
            link.receive()


def test_items_are_unpacked_as_packed() -> None:
    items: list[tuple[object, bytes | None]] = [("a", b"123"), ("b", None), (3, b"")]
    sizes, blob = pack_items(items)
    assert unpack_items(sizes, b"xx" + blob, 2) == (items, 2 + len(blob))
