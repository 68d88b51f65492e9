"""What the keeper keeps for whoever is root."""

from __future__ import annotations

from typing import Any

from supervisor_tree.ipc.link import pack_items, unpack_items
from supervisor_tree.keeper.kept import Kept


def commit(seq: int, state: dict[str, bytes | None] | None = None, **more: Any) -> tuple[dict[str, Any], bytes]:
    sizes, values = pack_items((state or {}).items())
    lines, texts = pack_items(more.pop("journal", []))
    return {"t": "commit", "seq": seq, "state": sizes, "journal": lines, **more}, values + texts


def test_state_is_replaced_deleted_and_handed_on() -> None:
    kept = Kept()
    assert kept.store(*commit(1, {"a": b"1", "b": b"", "c": b"3"}))
    assert kept.store(*commit(2, {"a": b"one", "c": None}))
    head, blob = kept.handed()
    assert head["commit"] == 2
    assert unpack_items(head["state"], blob)[0] == [("a", b"one"), ("b", b"")]


def test_a_commit_counts_once() -> None:
    kept = Kept()
    assert kept.store(*commit(1, {"a": b"1"}))
    assert not kept.store(*commit(1, {"a": b"2"}))
    assert kept.state == {"a": b"1"}


def test_events_stay_until_acknowledged_and_journal_lines_until_written() -> None:
    kept = Kept()
    for n in range(4):
        kept.event("exited", name=f"w{n}")
    kept.store(*commit(1, ack=2, journal=[(1, b"one\n"), (2, b"two\n"), (3, b"three\n")]))
    kept.store(*commit(2, ack=1, written=2))
    head, blob = kept.handed()
    assert [each["n"] for each in head["events"]] == [3, 4]
    assert unpack_items(head["journal"], blob)[0] == [(3, b"three\n")]
    assert head["written"] == 2
    kept.set_aside(kept.events[0])
    assert [each["n"] for each in kept.events] == [4]
    assert kept.event("exited")["n"] == 5
