"""The heartbeat channel at its root's end: real sockets, a real shell and core, and no keeper."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from supervisor_tree.core import events as ev
from supervisor_tree.core.node import State
from supervisor_tree.root.hearing import activities, commands, heartbeat_socket, heartbeats
from supervisor_tree.root.hearing.heartbeats import Heartbeats
from tests.support.shells import LoneShell
from tests.support.waiting import PATIENCE

TREE = """
[workers.a]
command = "a"
ready = { heartbeat = true }
health = { heartbeat = "1m" }
restart = "transient"
[workers.b]
command = "b"
[workers.c]
command = "c"
needs = { a = "ready" }
"""


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short path, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as folder:
        yield Path(folder) / "run"


class Channel:
    """A started tree and its heartbeat socket."""

    def __init__(self, tree: LoneShell, run_dir: Path) -> None:
        self.tree = tree
        self.shell = tree.shell
        self.context = zmq.Context()
        self.path = f"{run_dir}/u-{os.getuid()}/heartbeat"
        self.heartbeats = Heartbeats(self.shell)
        self.shell.heartbeats = self.heartbeats

    def connect(self) -> Client:
        return Client(self)

    def node(self, name: str) -> Any:
        return self.shell.tree.nodes[f"root/{name}"]


class Client:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.socket = channel.context.socket(zmq.DEALER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.connect(f"ipc://{channel.path}")

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message).encode())

    def hello(self, name: str = "a", incarnation: int = 1, **more: Any) -> None:
        token = self.channel.shell.tokens.token(name, incarnation)
        said = {"protocol": 1, "name": name, "incarnation": incarnation, "token": token, "pid": 7, **more}
        self.say(type="hello", **said)

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        await until(lambda: bool(self.socket.poll(0)), "a message comes")
        heard: dict[str, Any] = json.loads(self.socket.recv())
        return heard

    async def welcome(self, **more: Any) -> None:
        self.hello(**more)
        assert (await self.hear())["type"] == "welcome"


@asynccontextmanager
async def channel(folder: Path, run_dir: Path, text: str = TREE, *, spawn: str = "ab") -> AsyncIterator[Channel]:
    one = Channel(LoneShell(folder, run_dir, text), run_dir)
    for name in spawn:
        one.tree.spawned(name)
    try:
        yield one
    finally:
        one.context.destroy(0)
        one.tree.close()
        assert not one.tree.noted("internal_error")


async def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.005)


def test_hello_ready_beat(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            a.hello(interval=2.5, status="waking", dump={"signal": 50, "file": "/x"})
            assert await a.hear() == {"type": "welcome", "limit": 60.0, "protocol": 1}
            words = one.shell.said.of("a")
            assert (words.connected, words.status, words.interval) == (True, "waking", 2.5)
            assert words.dump is not None
            assert not one.node("a").ready
            assert one.node("c").state is State.DOWN
            a.say(type="ready")
            await until(lambda: one.node("a").ready, "ready")
            assert one.node("c").state is State.STARTING
            commits = one.tree.link.commits
            for seq in range(1, 101):
                a.say(type="beat", seq=seq, age=0.5, status=f"step {seq}", detail="d", fields={"n": seq})
            await until(lambda: words.seq == 100, "the last beat")
            assert (words.status, words.detail, words.fields) == ("step 100", "d", {"n": 100})
            assert words.beat_at is not None
            assert 0.4 < one.shell.loop.time() - words.beat_at < 3
            a.say(type="beat", seq=101, age=0)
            await until(lambda: words.seq == 101, "a beat that says nothing")
            assert one.shell.said.of("a").status == "step 100"
            a.say(type="beat", seq=102, age=0, status="")
            await until(lambda: words.seq == 102, "a beat that takes the status back")
            assert not words.status
            assert one.tree.link.commits == commits
            a.socket.close()
            await until(lambda: not words.connected, "it is known to be gone")

    asyncio.run(life())


@pytest.mark.parametrize("number", [0, -3, 999, 2**40])
def test_who_names_no_signal_is_asked_by_ours(tmp_path: Path, run_dir: Path, number: int) -> None:
    """The keeper would be told to send it."""

    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome(dump={"signal": number, "file": "/x"})
            assert one.shell.said.of("a").dump is None

    asyncio.run(life())


def test_ready_before_the_keeper_has_told_of_the_spawn_is_kept(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir, spawn="") as one:
            a = one.connect()
            await a.welcome(ready=True)
            assert one.node("a").state is State.STARTING
            one.tree.spawned("a")
            assert one.node("a").ready
            assert one.shell.beating.silence("a")

    asyncio.run(life())


def test_ready_that_is_overtaken_by_its_own_exit_counts(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that is over at once: its word lies in the socket when the keeper tells of its end."""
    monkeypatch.setattr(heartbeats, "_LAST_WORDS", PATIENCE)  # here a thread of ZeroMQ's has yet to put it there

    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome()
            a.say(type="ready")
            one.tree.exited("a")
            assert one.node("a").completed
            assert [line["event"] for line in one.tree.link.journal if line["name"] == "a"][-1] == "completed"

    asyncio.run(life())


def test_who_never_said_ready_has_crashed_and_nobody_waits_long(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            began = time.monotonic()
            one.tree.exited("a")
            assert time.monotonic() - began < 1  # 20 ms; a loaded machine is given more
            assert one.node("a").incarnation == 2

    asyncio.run(life())


def test_wrong_tokens_are_refused_and_told_of_at_a_bounded_rate(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            forger = one.connect()
            for token in ["", "0" * 32, "ü" * 20, one.shell.tokens.token("a", 2), *("x" for _ in range(46))]:
                forger.hello(token=token, ready=True)
            assert await forger.hear() == {"type": "refused", "reason": "wrong token"}
            await until(lambda: one.shell.dropped().get("hellos") == 50, "all are counted")
            (line,) = one.tree.noted("hello_refused")
            assert (line["name"], line["reason"]) == ("a", "wrong token")
            forger.say(type="ready")
            other = one.connect()
            other.hello(name="nobody", token="x")
            assert (await other.hear())["type"] == "refused"
            other.hello(protocol=2)
            assert "protocol 1" in (await other.hear())["reason"]
            assert not one.node("a").ready
            assert not one.shell.said.of("a").connected

    asyncio.run(life())


def test_a_stranger_is_asked_who_he_is_now_and_then(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            stranger = one.connect()
            for _ in range(100):
                stranger.say(type="beat", seq=1, age=0)
            assert await stranger.hear() == {"type": "who"}
            await until(lambda: one.heartbeats.dropped == 100, "all are counted")
            assert not stranger.socket.poll(100)

    asyncio.run(life())


def test_garbage_is_dropped_and_counted_and_a_second_frame_is_nobodys_words(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a, b = one.connect(), one.connect()
            await a.welcome()
            await b.welcome(name="b")
            (route,) = [route for route, peer in one.heartbeats._peers.items() if peer.name == "a"]
            forged = b'{"type":"ready"}'
            messages: list[list[bytes]] = [
                [b""],
                [b"null"],
                [b"{"],
                [b"\xff\xfe"],
                [b"[" * 10_000],
                [b'{"type":"unheard-of"}'],
                [b'{"type":"beat","seq":"x"}'],
                [b'{"type":"beat","age":1e999}'],
                [b'{"type":"hello"}'],
                [b"x" * 60_000],
                [b"{}", route, forged],
                [route, forged],
                [b"", route, forged, b""],
            ]
            for message in messages:
                b.socket.send_multipart(message)
            await until(lambda: one.heartbeats.dropped == len(messages), "all are counted")
            assert not one.node("a").ready
            b.say(type="beat", seq=1, age=0, unheard_of=1)
            await until(lambda: one.shell.said.of("b").seq == 1, "it is still listened to")

    asyncio.run(life())


def test_what_goes_down_goes_to_the_newest_that_is_there(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            old, new = one.connect(), one.connect()
            await old.welcome(interval=1.0)
            await new.welcome()
            assert one.heartbeats.ping("a")
            assert (await new.hear())["type"] == "ping"
            old.say(type="beat", seq=1, age=0, status="still here")
            await until(lambda: one.shell.said.of("a").status == "still here", "the older one is heard, too")
            new.socket.close()
            await until(lambda: len(one.heartbeats._peers) == 1, "the newer one is gone")
            assert one.shell.said.of("a").connected
            assert one.heartbeats.ping("a")
            assert (await old.hear())["type"] == "ping"
            many = [one.connect() for _ in range(20)]
            for each in many:
                await each.welcome()
            assert len(one.heartbeats._peers) == heartbeats._ROUTES

    asyncio.run(life())


def test_an_incarnation_that_has_ended_is_nobody(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome(ready=True)
            one.tree.exited("a", code=1)
            assert not one.shell.said.of("a").connected

            def asked() -> bool:
                a.say(type="beat", seq=2, age=0, status="I live")
                return bool(a.socket.poll(20))

            await until(asked, "it is nobody we know")
            assert await a.hear() == {"type": "who"}
            a.hello()
            assert await a.hear() == {"type": "refused", "reason": "incarnation 1 of a has ended"}
            assert one.shell.said.of("a").status is None

    asyncio.run(life())


def test_activities_are_journaled_at_a_bounded_rate(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities, "_RATE", (5.0, 0.0))
    monkeypatch.setattr(activities, "_SAY_DROPPED", 0.1)

    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome()
            for seq in range(12):
                a.say(type="activity", seq=seq, age=0, name="POST_SUCCESS", fields={"n": seq})
            await until(lambda: bool(one.tree.noted("activities_dropped")), "what was dropped is said")
            assert [line["fields"] for line in one.tree.noted("activity")] == [{"n": seq} for seq in range(5)]
            assert [line["dropped"] for line in one.tree.noted("activities_dropped")] == [7]
            assert one.shell.dropped()["activities"] == 7
            assert one.shell.said.of("a").activity == "POST_SUCCESS"

    asyncio.run(life())


def test_what_a_line_of_the_journal_has_told_is_not_told_again(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities, "_RATE", (1.0, 0.0))
    monkeypatch.setattr(activities, "_SAY_DROPPED", 1.5)

    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome()
            for seq in range(3):
                a.say(type="activity", seq=seq, age=0, name="POST_SUCCESS", fields={"n": seq})
            await until(lambda: one.shell.dropped().get("activities") == 2, "two were counted only")
            one.heartbeats.activities._rates.clear()  # as a second later
            a.say(type="activity", seq=3, age=0, name="POST_SUCCESS", fields={"n": 3})
            await until(lambda: len(one.tree.noted("activity")) == 2, "the next is a line again")
            assert one.tree.noted("activity")[-1]["dropped"] == 2
            await asyncio.sleep(1.7)
            assert one.tree.noted("activities_dropped") == []

    asyncio.run(life())


def test_commands(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a, b = one.connect(), one.connect()
            await a.welcome()
            await b.welcome(name="b")
            answers: list[tuple[bool, Any, str | None]] = []

            def answer(ok: bool, result: Any, error: str | None) -> None:
                answers.append((ok, result, error))

            one.heartbeats.commands.give("a", "reload", {"x": 1}, answer)
            assert not a.socket.poll(50)  # nothing happens before its commit
            one.shell.flush()
            asked = await a.hear()
            assert (asked["type"], asked["name"], asked["args"]) == ("command", "reload", {"x": 1})
            b.say(type="reply", id=asked["id"], ok=True, result="forged")
            a.say(type="reply", id=asked["id"], ok=True, result={"y": 2})
            a.say(type="reply", id=asked["id"], ok=False, error="twice")
            await until(lambda: bool(answers), "the answer")
            one.heartbeats.commands.give("c", "reload", {}, answer)
            one.shell.flush()
            one.heartbeats.commands.give("a", "reload", {}, answer)
            one.shell.flush()
            one.tree.exited("a", code=1)
            monkeypatch.setattr(commands, "_ANSWER", 0.05)
            one.heartbeats.commands.give("b", "reload", {}, answer)
            one.shell.flush()
            await until(lambda: len(answers) == 4, "all are answered")
            assert answers[0] == (True, {"y": 2}, None)
            assert [error for _, _, error in answers[1:]] == [
                "not connected",
                "it has ended",
                "no answer within 0.05 s",
            ]

    asyncio.run(life())


def test_strangers_can_not_take_all_descriptors(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_socket, "_STRANGERS", 5)

    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome()
            silent = [socket.socket(socket.AF_UNIX) for _ in range(40)]
            for each in silent:
                each.connect(one.path)
                await asyncio.sleep(0)
            left = 5 + len(one.shell.tree.nodes)
            await until(lambda: sum(map(_is_open, silent)) == left, "the oldest were hung up")
            assert all(map(_is_open, silent[-left:]))
            a.say(type="beat", seq=1, age=0)
            await until(lambda: one.shell.said.of("a").seq == 1, "who is known is not touched")
            for each in silent:
                each.close()

    asyncio.run(life())


def test_who_says_nothing_is_hung_up(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_socket, "_STRANGE", 0.1)

    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome()
            with socket.socket(socket.AF_UNIX) as silent:
                silent.connect(one.path)
                await until(lambda: not _is_open(silent), "it was hung up")
            assert one.shell.said.of("a").connected

    asyncio.run(life())


def _is_open(connection: socket.socket) -> bool:
    """Whether the other end has not hung up. What it said is thrown away."""
    try:
        while data := connection.recv(4096, socket.MSG_DONTWAIT):
            assert data
    except BlockingIOError:
        return True
    return False


def test_removed_sockets_are_bound_anew(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome()
            assert not one.heartbeats.bind_anew()
            os.unlink(one.path)
            assert one.heartbeats.bind_anew()
            assert not one.shell.said.of("a").connected

            def asked() -> bool:
                a.say(type="beat", seq=1, age=0)  # the first may have gone to where nobody reads any more
                return bool(a.socket.poll(20))

            await until(asked, "it is asked who it is")
            assert await a.hear() == {"type": "who"}
            a.hello()
            assert (await a.hear())["type"] == "welcome"
            assert one.shell.said.of("a").connected

    asyncio.run(life())


SHORT = TREE.replace('"1m"', '"0.5s"')


def suspects(one: Channel) -> list[tuple[str, float]]:
    """Who is suspected from now on: (kind, limit), in the order of the suspicion."""
    found: list[tuple[str, float]] = []

    def suspect(path: str, incarnation: int, kind: str, silent: float, limit: float) -> None:
        assert silent >= limit
        found.append((kind, limit))

    one.shell.hangs.suspect = suspect  # type: ignore[method-assign]
    return found


def test_silence_is_suspected_once_ready(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir, SHORT) as one:
            found = suspects(one)
            a = one.connect()
            await a.welcome()
            await asyncio.sleep(0.7)
            assert not found  # not ready yet: `start_timeout` is its limit
            a.say(type="ready")
            await until(lambda: one.node("a").ready, "ready")
            for seq in range(20):
                a.say(type="beat", seq=seq, age=0)
                await asyncio.sleep(0.05)
            assert not found
            await until(lambda: found == [("heartbeat", 0.5)], "it is suspected")

    asyncio.run(life())


def test_a_held_one_is_said_once_and_suspected_after_its_release(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir, SHORT) as one:
            found = suspects(one)
            a = one.connect()
            await a.welcome(ready=True)
            one.shell.tell(ev.HoldRequested("h", ("root/a",)))
            one.shell.flush()
            await until(lambda: bool(one.tree.noted("left_alone")), "it is said")
            await asyncio.sleep(1.2)
            assert len(one.tree.noted("left_alone")) == 1
            assert not found
            one.shell.tell(ev.ReleaseRequested("r", ("root/a",)))
            one.shell.flush()
            await until(lambda: bool(found), "it is suspected now")

    asyncio.run(life())


def test_goodbye_is_bounded_by_shutdown(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        text = SHORT.replace('command = "a"', 'command = "a"\nshutdown = "0.6s"')
        async with channel(tmp_path, run_dir, text) as one:
            found = suspects(one)
            a = one.connect()
            await a.welcome(ready=True)
            a.say(type="goodbye", reason="all is done")
            await until(lambda: bool(one.tree.noted("goodbye")), "it is said")
            await until(lambda: bool(found), "it should have ended")
            assert found == [("goodbye", 0.6)]

    asyncio.run(life())


def test_no_verdict_while_it_is_asked_to_stop(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir, SHORT) as one:
            found = suspects(one)
            a = one.connect()
            await a.welcome(ready=True)
            one.shell.tell(ev.StopRequested("s", ("root/a",)))
            one.shell.flush()
            assert await a.hear() == {"type": "stop", "grace": 10.0}
            await asyncio.sleep(0.8)
            assert not found

    asyncio.run(life())


def test_a_late_root_begins_all_limits_anew(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir, SHORT) as one:
            found = suspects(one)
            a = one.connect()
            await a.welcome(ready=True)
            await until(lambda: one.node("a").ready, "ready")
            time.sleep(1.5)  # noqa: ASYNC251, TID251, to be blocked is what is tested
            at = time.monotonic()
            await until(lambda: bool(found), "its silence counts from now on")
            assert time.monotonic() - at > 0.48

    asyncio.run(life())


def test_a_changed_limit_is_told(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome(ready=True)
            settings = one.shell.plan.workers["a"]
            (probe,) = settings.health
            import msgspec

            changed = msgspec.structs.replace(probe, heartbeat=5.0)
            one.shell.plan.workers["a"] = msgspec.structs.replace(settings, health=(changed,))
            one.shell.beating.replan()
            one.heartbeats.replan()
            assert await a.hear() == {"type": "welcome", "limit": 5.0, "protocol": 1}
            assert one.shell.beating.silence("a")["heartbeat"]["limit"] == 5.0
            one.shell.plan.workers["a"] = msgspec.structs.replace(settings, health=())
            one.shell.beating.replan()
            assert not one.shell.beating.silence("a")

    asyncio.run(life())


def test_a_new_root_asks_who_it_is_and_hears_how_things_stand(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        async with channel(tmp_path, run_dir) as one:
            a = one.connect()
            await a.welcome(ready=True)
            await until(lambda: one.node("a").ready, "ready")
            one.shell = one.tree.replaced()
            one.heartbeats = one.shell.heartbeats = Heartbeats(one.shell)
            assert one.node("a").ready
            assert one.shell.beating.silence("a")["heartbeat"]["limit"] == 60.0

            def asked() -> bool:
                a.say(type="beat", seq=7, age=0)
                return bool(a.socket.poll(20))

            await until(asked, "it is asked who it is")
            assert await a.hear() == {"type": "who"}
            await a.welcome(ready=True, status="as before")
            assert one.shell.said.of("a").status == "as before"
            assert len(one.tree.noted("ready")) == 1

    asyncio.run(life())


def test_who_waits_for_us_to_take_its_output_is_not_suspected(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        text = SHORT.replace('command = "a"', 'command = "a"\nlog = { on_full = "block" }')
        async with channel(tmp_path, run_dir, text) as one:
            found = suspects(one)
            a = one.connect()
            await a.welcome(ready=True)
            await until(lambda: one.node("a").ready, "ready")
            for what, name in (("blocking", "a"), ("stalled", None)):
                one.tree.event("logger", name, 0, what=what, reason="disk full")
                assert one.shell.blocking == {"a": "disk full"}
                await asyncio.sleep(0.8)
                assert not found
                one.tree.event("logger", None, 0, what="answers", reason="the disk answers again")
                assert not one.shell.blocking
            assert not [key for key in one.tree.link.state if key.startswith("blocking/")]
            await until(lambda: bool(found), "it is suspected now")

    asyncio.run(life())


def test_all_that_is_to_be_told_must_be(tmp_path: Path, run_dir: Path) -> None:
    async def life() -> None:
        text = TREE.replace("ready = { heartbeat = true }", "ready = [{ heartbeat = true }, { notify = true }]")
        async with channel(tmp_path, run_dir, text) as one:
            one.shell.readiness.told("a", 1, "notify")
            assert not one.node("a").ready
            a = one.connect()
            await a.welcome(ready=True)
            await until(lambda: one.node("a").ready, "both have said it")

    asyncio.run(life())
