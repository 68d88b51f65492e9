"""The DEALER made by hand: beside libzmq's ROUTER, and against peers that are none."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_tree.ipc import zmtp
from supervisor_tree.ipc.zmtp import HIGH_WATER, MAX_MESSAGE, Dealer
from tests.support.router import Router
from tests.support.waiting import PATIENCE

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16) + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"
SIZES = [0, 1, 255, 256, 65535, MAX_MESSAGE]


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as one:
        yield one


@pytest.fixture
def path() -> Iterator[Path]:
    """Of a socket that is not there yet, short enough for one."""
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        yield Path(folder, "heartbeat")


class Peer:
    """Somebody at the other end who speaks ZMTP only as far as a test does."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self._connection: socket.socket | None = None

    @property
    def connection(self) -> socket.socket:
        """The one accepted last."""
        assert self._connection is not None
        return self._connection

    def accept(self, dealer: Dealer) -> None:
        drive(dealer, lambda: bool(select.select([self.listener], [], [], 0)[0]))
        self._connection, _ = self.listener.accept()
        self._connection.settimeout(PATIENCE)

    def shake_hands(self, dealer: Dealer) -> None:
        self.accept(dealer)
        self.connection.sendall(GREETING + READY)
        drive(dealer, lambda: dealer.is_open)
        assert self.read(64)[:12] == b"\xff" + bytes(8) + b"\x7f\x03\x01"
        assert self.read(30)[:8] == b"\x04\x1c\x05READY"

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self.connection.recv(size - len(data))
        return data

    def hung_up(self, dealer: Dealer) -> bool:
        """Whether the dealer ends this connection."""
        connection = self.connection

        def ended() -> bool:
            if not select.select([connection], [], [], 0)[0]:
                return False
            try:
                return not connection.recv(65536)
            except ConnectionResetError:
                return True

        drive(dealer, ended)
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self.listener.close()


@pytest.fixture
def peer(path: Path) -> Iterator[Peer]:
    one = Peer(path)
    yield one
    one.close()


def drive(dealer: Dealer, until: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Wait for the dealer as a worker does, until that is so."""
    end = time.monotonic() + timeout
    dealer.pump()
    while not until():
        assert time.monotonic() < end, "it does not come to that"
        poll = select.poll()
        if dealer.fileno() >= 0:
            poll.register(dealer.fileno(), select.POLLIN | (select.POLLOUT if dealer.wants_write else 0))
        poll.poll(5)
        dealer.pump()


DealerAt = Callable[..., tuple[Dealer, list[bytes]]]


@pytest.fixture
def dealer_at() -> Iterator[DealerAt]:
    """``dealer_at(path)``: a dealer that says hello there, and what it hears. Closed at the end, whatever became of the
    test: else another test would be blamed for it."""
    made: list[Dealer] = []

    def make(path: Path, *, stays: bool = True) -> tuple[Dealer, list[bytes]]:
        heard: list[bytes] = []
        made.append(Dealer(f"ipc://{path}", lambda: b"hello", heard.append, stays))
        return made[-1], heard

    yield make
    for each in made:
        each.close()


# --- with libzmq


def test_hello_goes_before_what_waited(router: Router, dealer_at: DealerAt) -> None:
    dealer, _ = dealer_at(router.dir / "heartbeat")
    dealer.send(b"one")
    dealer.send(lambda: b"two")
    drive(dealer, lambda: not dealer.wants_write and dealer.is_open)
    assert [router.receive() for _ in range(3)] == [b"hello", b"one", b"two"]


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_every_size_go_both_ways(router: Router, size: int, dealer_at: DealerAt) -> None:
    dealer, heard = dealer_at(router.dir / "heartbeat")
    dealer.send(b"x" * size)
    drive(dealer, lambda: not dealer.wants_write and dealer.is_open)
    assert router.receive() == b"hello"
    assert router.receive() == b"x" * size
    router.send(b"y" * size)
    drive(dealer, lambda: bool(heard))
    assert heard == [b"y" * size]


def test_a_root_that_comes_late_or_again_is_found(router: Router, dealer_at: DealerAt) -> None:
    router.unbind()
    dealer, _ = dealer_at(router.dir / "heartbeat")
    dealer.send(b"one")
    drive(dealer, lambda: dealer.retry_at is not None)
    router.bind()
    drive(dealer, lambda: dealer.is_open and not dealer.wants_write)
    assert [router.receive() for _ in range(2)] == [b"hello", b"one"]
    router.unbind()
    drive(dealer, lambda: not dealer.is_open)
    dealer.send(b"two")
    router.bind()
    drive(dealer, lambda: dealer.is_open and not dealer.wants_write)
    assert [router.receive() for _ in range(2)] == [b"hello", b"two"]


def test_a_message_of_several_frames_is_ignored_and_the_next_is_not(router: Router, dealer_at: DealerAt) -> None:
    dealer, heard = dealer_at(router.dir / "heartbeat")
    drive(dealer, lambda: dealer.is_open)
    assert router.receive() == b"hello"
    router.send(b"a", b"b", b"c")
    router.send(b"whole")
    drive(dealer, lambda: bool(heard))
    assert heard == [b"whole"]


def test_a_message_that_is_too_long_ends_the_connection_only(router: Router, dealer_at: DealerAt) -> None:
    dealer, heard = dealer_at(router.dir / "heartbeat")
    drive(dealer, lambda: dealer.is_open)
    assert router.receive() == b"hello"
    router.send(b"x" * (MAX_MESSAGE + 1))
    drive(dealer, lambda: not dealer.is_open)
    drive(dealer, lambda: dealer.is_open)
    assert router.receive() == b"hello"
    router.send(b"short")
    drive(dealer, lambda: bool(heard))
    assert heard == [b"short"]
    with pytest.raises(ValueError, match="65537 bytes: at most 65536"):
        dealer.send(b"x" * (MAX_MESSAGE + 1))


def test_close_still_sends_what_the_socket_takes(router: Router, dealer_at: DealerAt) -> None:
    dealer, _ = dealer_at(router.dir / "heartbeat")
    drive(dealer, lambda: dealer.is_open)
    dealer.send(b"goodbye")
    dealer.close()
    assert [router.receive() for _ in range(2)] == [b"hello", b"goodbye"]
    dealer.send(b"nothing more")
    dealer.pump()
    assert (dealer.fileno(), dealer.retry_at, dealer.wants_write) == (-1, None, False)


def test_libzmq_hears_that_the_connection_lives(dealer_at: DealerAt) -> None:
    """A ROUTER with heartbeats of ZMTP ends a connection whose PING has no PONG."""
    with Router() as router, zmq.Context() as context, context.socket(zmq.ROUTER) as pinging:
        pinging.setsockopt(zmq.HEARTBEAT_IVL, 20)
        pinging.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2000)  # a busy machine may keep us from answering for a while
        events = pinging.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        pinging.bind(f"ipc://{router.dir}/pinging")
        dealer, _ = dealer_at(router.dir / "pinging")
        drive(dealer, lambda: dealer.is_open)
        end = time.monotonic() + 2.5
        drive(dealer, lambda: time.monotonic() > end)
        assert not events.poll(0)
        assert dealer.is_open
        pinging.disable_monitor()
        events.close(0)


def test_who_only_passes_connects_when_there_is_something_to_say(router: Router, dealer_at: DealerAt) -> None:
    dealer, _ = dealer_at(router.dir / "heartbeat", stays=False)
    dealer.pump()
    assert (dealer.fileno(), dealer.retry_at) == (-1, None)
    dealer.send(b"one")
    assert dealer.retry_at is not None
    drive(dealer, lambda: dealer.is_open and not dealer.wants_write)
    assert [router.receive() for _ in range(2)] == [b"hello", b"one"]
    router.unbind()
    drive(dealer, lambda: dealer.fileno() < 0 and dealer.retry_at is None)


# --- with peers that are none


def test_what_waits_is_bounded_and_the_oldest_goes(path: Path, dealer_at: DealerAt) -> None:
    dealer, _ = dealer_at(path)
    for number in range(HIGH_WATER + 5):
        dealer.send(str(number).encode())
    assert dealer.dropped == 5
    with contextlib.closing(Peer(path)) as peer:
        peer.shake_hands(dealer)
        drive(dealer, lambda: not dealer.wants_write)
        texts = [b"hello", *(str(number).encode() for number in range(5, HIGH_WATER + 5))]
        expected = b"".join(bytes((0, len(text))) + text for text in texts)
        assert peer.read(len(expected)) == expected


def test_a_peer_that_does_not_read_costs_messages_and_is_told_how_things_stand(
    peer: Peer, path: Path, dealer_at: DealerAt
) -> None:
    dealer, _ = dealer_at(path)
    peer.shake_hands(dealer)
    before = time.monotonic()
    for number in range(2000):
        dealer.send(b"%04d" % number + b"x" * 996)
    assert time.monotonic() - before < PATIENCE
    assert dealer.dropped > 0
    got = b""
    while not got.endswith(b"\x00\x05hello"):
        dealer.pump()
        if select.select([peer.connection], [], [], 0.01)[0]:
            got += peer.connection.recv(1 << 20)
    texts = [got[at : at + 4] for at in range(7 + 9, len(got) - 7, 1009)]
    assert got.startswith(b"\x00\x05hello")
    assert texts == sorted(set(texts))
    assert texts[-HIGH_WATER:] == [b"%04d" % number for number in range(2000 - HIGH_WATER, 2000)]


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\xff" + bytes(8) + b"\x7e",
        GREETING.replace(b"\x7f\x03", b"\x7f\x02"),
        GREETING.replace(b"NULL", b"CURV"),
        GREETING + b"\x00\x05early",
        GREETING + b"\x04\x0f\x05ERROR\x08no thank",
        GREETING + READY + b"\x80\x00",
        GREETING + READY + b"\x05\x00",
        GREETING + READY + b"\x02" + (1 << 40).to_bytes(8, "big"),
        GREETING + READY + b"\x04\x06\x05ERROR",
    ],
    ids=["http", "signature", "version", "mechanism", "early", "refused", "flags", "more-command", "huge", "error"],
)
def test_garbage_ends_the_connection_and_nothing_else(
    peer: Peer, path: Path, garbage: bytes, dealer_at: DealerAt
) -> None:
    dealer, heard = dealer_at(path)
    for _ in range(2):
        peer.accept(dealer)
        peer.connection.sendall(garbage)
        assert peer.hung_up(dealer)
        peer.connection.close()
    assert heard == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_whatever_comes_in_whatever_pieces_nothing_is_raised(
    peer: Peer, path: Path, dealer_at: DealerAt, data: bytes, cuts: list[int]
) -> None:
    dealer, _ = dealer_at(path)
    peer.accept(dealer)
    whole = GREETING + READY + data
    at = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for start, end in itertools.pairwise(at):
        with contextlib.suppress(BrokenPipeError):  # it has hung up: a frame was none
            peer.connection.sendall(whole[start:end])
        dealer.pump()
    dealer.close()
    peer.connection.close()


def test_a_handshake_byte_by_byte_is_one(peer: Peer, path: Path, dealer_at: DealerAt) -> None:
    dealer, heard = dealer_at(path)
    peer.accept(dealer)
    for byte in GREETING + READY + b"\x00\x02hi":
        peer.connection.sendall(bytes((byte,)))
        dealer.pump()
    assert dealer.is_open
    assert heard == [b"hi"]


def test_a_ping_is_answered_with_its_own_words(peer: Peer, path: Path, dealer_at: DealerAt) -> None:
    dealer, _ = dealer_at(path)
    peer.shake_hands(dealer)
    assert peer.read(7) == b"\x00\x05hello"
    peer.connection.sendall(b"\x04\x0a\x04PING\x00\x64abc")
    drive(dealer, lambda: bool(select.select([peer.connection], [], [], 0)[0]))
    assert peer.read(10) == b"\x04\x08\x04PONGabc"


def test_pings_that_nobody_reads_the_answers_of_pile_nothing_up(peer: Peer, path: Path, dealer_at: DealerAt) -> None:
    dealer, _ = dealer_at(path)
    peer.shake_hands(dealer)
    peer.connection.setblocking(False)
    flood = b"\x04\x17\x04PING\x00\x64" + bytes(16)
    assert len(flood) == 25
    sent = 0
    while sent < 2_000_000:
        try:
            sent += peer.connection.send((flood * 1000)[sent % 25 :])
        except BlockingIOError:
            dealer.pump()
    assert dealer.is_open
    assert len(dealer._out) < 2 * MAX_MESSAGE


def test_who_hangs_up_at_once_is_asked_ever_more_seldom(
    peer: Peer, path: Path, dealer_at: DealerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zmtp, "RETRY_FIRST", 0.1)  # so that what the measuring takes is small beside it
    monkeypatch.setattr(zmtp, "LASTED", 60.0)
    dealer, _ = dealer_at(path)
    waits = []
    for _ in range(4):
        peer.shake_hands(dealer)
        peer.connection.close()
        drive(dealer, lambda: not dealer.is_open)
        assert dealer.retry_at is not None
        waits.append(dealer.retry_at - time.monotonic())
    assert all(later > earlier for earlier, later in itertools.pairwise(waits)), waits
    assert waits[-1] <= zmtp.RETRY_MOST


def test_nobody_takes_the_connection_and_nothing_waits(path: Path, dealer_at: DealerAt) -> None:
    """A full backlog, where a blocking connect would wait for ever."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        dealers = [dealer_at(path)[0] for _ in range(5)]
        before = time.monotonic()
        for dealer in dealers:
            dealer.send(b"x")
            dealer.pump()
        assert time.monotonic() - before < PATIENCE
        assert any(dealer.fileno() < 0 for dealer in dealers) or len(dealers) < 3


def test_another_kind_of_endpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="no ipc"):
        Dealer("tcp://127.0.0.1:5555", lambda: b"", lambda _: None)
