"""Operations end once, answer everybody who waits, and are forgotten in time."""

from __future__ import annotations

from supervisor_tree.root.operations import KEPT, MOST, Operation, Operations

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


def test_a_flood_is_forgotten_before_its_time() -> None:
    operations = Operations()
    for number in range(MOST + 50):
        operations.begin(Operation(id=str(number), command="stop", names=[], by="me", at=100.0))
        operations.end(str(number), [OK], 100.0 + number / 1000)
    assert len(operations.all) <= MOST + 1
    assert "0" not in operations.all
    assert str(MOST + 49) in operations.all


def test_those_under_way_are_not_forgotten_but_fill_it() -> None:
    operations = Operations()
    for number in range(MOST):
        assert not operations.full
        operations.begin(Operation(id=str(number), command="stop", names=[], by="me", at=100.0))
    assert operations.full
    operations.end("7", [OK], 101.0)
    assert not operations.full


def test_old_ones_are_forgotten_when_others_begin() -> None:
    operations = begun()
    operations.end("1", [OK], 101.0)
    operations.take_changes()
    operations.begin(Operation(id="2", command="stop", names=["a"], by="me", at=102.0 + KEPT))
    assert set(operations.all) == {"2"}
    assert dict(operations.take_changes())["operation/1"] is None
