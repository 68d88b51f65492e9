"""Operations end once, answer everybody who waits, and are forgotten in time."""

from __future__ import annotations

from supervisor_tree.root.operations import KEPT, Operation, Operations

OK = {"name": "a", "ok": True, "reason": None}
NO = {"name": "b", "ok": False, "reason": "no such file"}


def begun() -> Operations:
    operations = Operations()
    operations.begin(Operation(id="1", command="stop", names=["a"], by="me", at=100.0))
    return operations


def test_whoever_joined_is_answered_once() -> None:
    operations = begun()
    operations.join("1", b"x")
    operations.join("1", b"x")
    operations.join("1", b"y")
    assert operations.end("1", [OK], 101.0) == [b"x", b"y"]
    assert operations.end("1", [NO], 102.0) == []
    assert operations.all["1"].state == "done"


def test_one_failed_result_fails_the_operation() -> None:
    operations = begun()
    operations.end("1", [OK, NO], 101.0)
    assert operations.all["1"].answer()["state"] == "failed"


def test_it_survives_the_way_through_the_keeper() -> None:
    operations = begun()
    operations.end("1", [OK], 101.0)
    ((key, data),) = operations.take_changes()
    assert key == "operation/1"
    assert data is not None
    other = Operations()
    other.load(data)
    assert other.all["1"] == operations.all["1"]
    assert operations.take_changes() == []


def test_an_ended_one_is_forgotten_after_ten_minutes_and_a_running_one_never() -> None:
    operations = begun()
    operations.begin(Operation(id="2", command="stop", names=["b"], by="me", at=100.0))
    operations.end("1", [OK], 101.0)
    operations.take_changes()
    operations.forget_old(101.0 + KEPT + 1)
    assert list(operations.all) == ["2"]
    assert operations.take_changes() == [("operation/1", None)]
