"""Messages: what they are called, how several become one, and that they fit into the variable that they travel in."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_tree.core.severity import Severity
from supervisor_tree.root.alerts.carrying import TO_STDIN, event_of, for_apprise
from supervisor_tree.root.alerts.notices import MOST, Item, Notice, clip, merged, subject


def item(name: str | None = "web", severity: Severity = "error", **more: Any) -> Item:
    more.setdefault("title", f"{name} has failed: exit status 3")
    return Item(**{"kind": "failed", "name": name, "severity": severity, "since": 0.0, **more})


def notice(*items: Item, text: str = "text", number: int = 1) -> Notice:
    return Notice(
        id=f"{number}",
        at=float(number),
        tree="bot",
        host="host1",
        title=subject("bot", items),
        text=text,
        items=list(items),
        todo=["command"],
    )


def test_a_subject_says_the_worst_and_how_much_more() -> None:
    assert subject("bot", [item()]) == "[bot] ERROR: web has failed: exit status 3"
    both = [item(), item("root", "critical", kind="gave_up", title="it burns")]
    assert subject("bot", both) == "[bot] CRITICAL: it burns (and 1 more)"
    assert subject("bot", [item(over=True)]) == "[bot] RESOLVED: web has failed: exit status 3"
    assert subject("bot", [item("db", over=True), item("web", "warning")]).startswith("[bot] WARNING: web")
    many = [item(f"w{number}") for number in range(200)]
    assert subject("bot", many) == "[bot] ERROR: 200 × failed: w0, w1, w2 … 197 more"
    assert len(subject("bot", [item(title="x" * 5000)])) < 250


def test_what_has_waited_is_one_message_the_newest_first() -> None:
    one, two = notice(item("a"), text="about a", number=1), notice(item("b"), text="about b", number=2)
    assert merged([one]) is one
    both = merged([one, two])
    assert both.id == two.id
    assert [each.name for each in both.items] == ["b", "a"]
    assert both.text.index("about b") < both.text.index("about a")
    assert both.text.startswith("2 messages have waited")


def test_an_event_says_what_began_and_what_ended() -> None:
    event = notice(item(over=True, seconds=5.0)).event()
    assert event["event"] == "alert_resolved"
    event = notice(item("db", over=True), item("web", "warning")).event()
    assert (event["event"], event["severity"], event["name"]) == ("alert_raised", "warning", None)
    assert [each["event"] for each in event["alerts"]] == ["alert_resolved", "alert_raised"]
    many = notice(*[item(f"w{number}") for number in range(1000)]).event()
    assert len(many["alerts"]) + many["more"] == 1000


@settings(deadline=None, max_examples=50)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50), st.integers(1, 3000), st.integers(1, 300)
)
def test_it_fits_whatever_programs_print(text: str, times: int, count: int) -> None:
    """What JSON has to write in six letters for one would grow over what the kernel takes in a variable."""
    title = (text * 500)[:500]
    items = [item(f"w{number}", title=title, context={"tail": [text] * 20}) for number in range(count)]
    long = notice(*items, text=clip(text * times))
    for data in (event_of(long), for_apprise(long, "mailto:// (url 1)")):
        assert len(data.encode()) < 128 * 1024
        assert "\0" not in data
        assert long.text.startswith(json.loads(data)["text"][:100])


@pytest.mark.parametrize("text", ["plain", "a 'b' \"c\" $HOME `id` \\n %s %% \x00 \x1b\n\nä€😀", "-n", ""])
def test_a_program_reads_exactly_that(text: str, tmp_path: Path) -> None:
    event = event_of(notice(item(), text=text))
    done = subprocess.run(
        ["/bin/sh", "-c", TO_STDIN, "sh", "sh", "-c", 'cat; test -z "$SUPERVISOR_TREE_ALERT"'],
        env={"PATH": "/bin:/usr/bin", "SUPERVISOR_TREE_ALERT": event},
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert msgspec.json.decode(done.stdout)["text"] == text


def test_a_program_that_does_not_read_has_its_own_status() -> None:
    event = event_of(notice(item(), text="x" * MOST))
    for status in (0, 7):
        done = subprocess.run(
            ["/bin/sh", "-c", TO_STDIN, "sh", "sh", "-c", f"exit {status}"],
            env={"PATH": "/bin:/usr/bin", "SUPERVISOR_TREE_ALERT": event},
            capture_output=True,
            check=False,
            timeout=20,
        )
        assert done.returncode == status
