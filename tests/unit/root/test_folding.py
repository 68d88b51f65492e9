"""What waits for a target that is down for weeks: it stays bounded, and nothing of it is dropped without a word."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from supervisor_tree.core.severity import Severity
from supervisor_tree.root.alerts.delivery import Delivery
from supervisor_tree.root.alerts.folding import WAITING, fold, oldest
from supervisor_tree.root.alerts.notices import AlertFile, Item, Notice, merged, subject
from tests.support.shells import LoneShell


def item(name: str, severity: Severity = "error", **more: Any) -> Item:
    more.setdefault("title", f"{name} has failed")
    return Item(**{"kind": "failed", "name": name, "severity": severity, "since": 0.0, **more})


def notice(number: int, *items: Item, todo: tuple[str, ...] = ("command",), **more: Any) -> Notice:
    return Notice(
        id=f"{number:06}",
        at=float(number),
        tree="bot",
        host="h",
        title=subject("bot", items),
        text="text " * 1000,
        items=list(items),
        todo=list(todo),
        **more,
    )


def test_two_become_a_list_of_what_both_told() -> None:
    one = fold(
        notice(10, item("web", "critical", count=3, context={"tail": ["x"]}), item("db", since=5.0)),
        notice(20, item("web", "warning", count=7, over=True, seconds=4.0), item("db", since=15.0, count=2)),
    )
    assert (one.id, one.todo, one.folded, one.begin, one.at) == ("000020", ["command"], 2, 10.0, 20.0)
    web, db = one.items
    # As bad as it ever was, and as it is now.
    assert (web.name, web.severity, web.count, web.over, web.context) == ("web", "critical", 7, True, {})
    assert (db.since, db.count) == (5.0, 3)
    assert "CRITICAL web has failed (since 1970-01-01T00:00:00.000Z, 7 times; over by then)" in one.text
    assert one.title == "[bot] ERROR: db has failed (and 1 more)"
    more = fold(one, notice(30, item("new")))
    assert (more.folded, more.begin, len(more.items)) == (3, 10.0, 3)
    assert more.text.startswith("3 messages, from 1970-01-01T00:00:10.000Z to 1970-01-01T00:00:30.000Z, waited")
    assert merged([more, notice(40, item("x"))]).text.startswith("4 messages have waited")
    assert msgspec.json.decode(msgspec.json.encode(more), type=Notice) == more


def test_alerts_of_steps_are_one_each_by_what_they_say() -> None:
    told = [item("job", kind="alert", title=title) for title in ("one", "two", "one")]
    assert [(each.title, each.count) for each in fold(notice(1, *told[:2]), notice(2, told[2])).items] == [
        ("two", 1),
        ("one", 1),
    ]


def test_of_too_many_conditions_the_worst_are_named_and_the_others_counted() -> None:
    many = [item(f"w{number}", "warning") for number in range(300)]
    one = fold(notice(1, *many), notice(2, item("root", "critical", kind="gave_up", title="it burns")))
    assert len(one.items) == 200
    assert one.items[0].title == "it burns"
    assert one.unnamed == 101
    assert "… and 101 of no higher severity" in one.text
    assert one.event()["more"] == 101
    assert fold(one, notice(3, item("x"))).unnamed == 102


def test_only_what_the_same_targets_want_and_nobody_is_just_being_sent() -> None:
    both = ("a", "command")
    waiting = [notice(number, item("web"), todo=both if number == 2 else both[1:]) for number in range(1, 6)]
    notices = {each.id: each for each in waiting}
    assert oldest(notices, ()) == (waiting[2], waiting[3])
    assert oldest(notices, {"000003"}) == (waiting[3], waiting[4])
    assert oldest(notices, {"000003", "000004", "000005"}) is None


def test_a_queue_has_an_end_and_what_became_of_the_oldest_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "run").mkdir()
        lone = LoneShell(tmp_path, tmp_path / "run", '[alerts]\ncommand = "false"\n[workers.web]\ncommand = "true"\n')
        shell = lone.shell
        delivery: Delivery = shell.alerts.delivery
        delivery.replan()
        count = 3 * WAITING
        for number in range(count):
            file = [AlertFile(str(tmp_path / "no" / "x"), "text")] if number == 0 else []
            delivery.push(notice(number, item(f"w{number % 7}", "critical"), files=file))
        shell.flush()
        assert delivery.waiting() == WAITING
        kept = {key: value for key, value in lone.link.state.items() if key.startswith("alerts/notice/")}
        notices = [msgspec.json.decode(value, type=Notice) for value in kept.values()]
        assert len(notices) == WAITING
        assert sum(each.folded for each in notices) == count
        first = min(notices, key=lambda each: each.id)
        assert first.folded == count - WAITING + 1
        assert sorted(each.name or "" for each in first.items) == [f"w{number}" for number in range(7)]
        said = [line for line in lone.link.journal if line["event"] == "alerts_folded"]
        assert [line["messages"] for line in said] == [2, 4, 8, 16, 32, 64, 128]
        assert said[0]["files"] == [str(tmp_path / "no" / "x")]
        assert {tuple(line["targets"]) for line in said} == {("alerts.command",)}
        shell.close()

    asyncio.run(main())
