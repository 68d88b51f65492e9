"""The client of the control socket: patience, repetition, garbage, streams."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from supervisor_tree.ipc import control
from supervisor_tree.ipc.control import Control, ControlError, ControlTimeout, Stream

Root = Any
ACK = {"kind": "ack", "operation": None}


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "RESEND", 0.02)
    monkeypatch.setattr(control, "PATIENCE", 1.0)  # a loaded machine may let the root's thread wait for a while


@pytest.fixture
def client(root: Root) -> Any:
    made = Control(str(root.run_dir), "rick@mac")
    yield made
    made.close()


def test_a_request_is_sent_again_with_its_id_until_it_is_answered(fast: None, root: Root, client: Control) -> None:
    root.answers["stop"] = [None, None, ACK, {"kind": "end", "data": 7}]
    assert client.request("stop", {"names": ["a"]}) == 7
    assert len(root.requests) == 4
    assert len({request["id"] for request in root.requests}) == 1


def test_silence_is_a_root_that_does_not_answer(fast: None, root: Root, client: Control) -> None:
    root.answers["stop"] = None
    began = time.monotonic()
    with pytest.raises(ControlError, match="does not answer") as caught:
        client.request("stop", {})
    assert caught.value.code == "no_answer"
    assert 0.9 < time.monotonic() - began < 10  # a loaded machine is given more than the second


def test_acknowledged_work_may_take_its_time(fast: None, root: Root, client: Control) -> None:
    root.answers["stop"] = [ACK] * 60 + [{"kind": "end", "data": "done"}]  # longer than silence would be borne
    looked = []
    assert client.request("stop", {}, idle=lambda: looked.append(1)) == "done"
    assert looked


def test_while_it_was_stopped_itself_no_silence_counts(fast: None, root: Root, client: Control) -> None:
    root.answers["stop"] = [None, None, {"kind": "end", "data": "done"}]

    seconds = iter([1.2])

    def stopped() -> None:
        threading.Event().wait(next(seconds, 0.0))

    assert client.request("stop", {}, idle=stopped) == "done"
    assert next(seconds, None) is None


def test_a_deadline_of_the_callers_own(fast: None, root: Root, client: Control) -> None:
    root.answers["wait"] = ACK
    with pytest.raises(ControlTimeout):
        client.request("wait", {}, timeout=0.3)


def test_an_answer_to_an_earlier_request_is_passed_over(fast: None, root: Root, client: Control) -> None:
    root.answers["wait"] = ACK
    with pytest.raises(ControlTimeout):
        client.request("wait", {}, timeout=0.06)
    root.answers["status"] = {"kind": "end", "data": 1}
    assert client.request("status", {}) == 1


def test_a_root_that_comes_later_is_reached(fast: None, make_root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE", 5)
    root = make_root()
    socket = root.run_dir / "control" / "control"
    hidden = root.run_dir / "control" / "hidden"
    socket.rename(hidden)  # as while a root is replaced
    root.answers["status"] = {"kind": "end", "data": 1}
    client = Control(str(root.run_dir))
    seconds = []

    def back() -> None:
        seconds.append(1)
        if len(seconds) == 2:
            hidden.rename(socket)

    assert client.request("status", {}, idle=back) == 1
    client.close()


def test_a_stream_says_connected_then_topics_then_its_end(root: Root) -> None:
    read, write = os.pipe()
    stream = Stream(str(root.run_dir), "event.", read)
    assert stream.next(5) == (Stream.CONNECTED, None)
    told = None
    while told is None:  # the subscription arrives a moment after the connection
        root.publish({"event": "child_exited", "seq": 1})
        told = stream.next(0.01)
    assert told == ("event.child_exited", {"event": "child_exited", "seq": 1})
    os.write(write, b"x")
    while told is None or told[0] != Stream.ENDED:
        told = stream.next(5)
    stream.close()
    os.close(read)
    os.close(write)
