"""Who is told of what, when and how often: the rules of `core.alerting`, and which journal lines are worth it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_tree.core.alert_rules import Over, Problem, Relapse, judge
from supervisor_tree.core.alerting import GATHER, Alerting, Condition, Telling
from supervisor_tree.core.severity import Severity, severity

HOUR = 3600.0


def problem(about: str = "web", kind: str = "crash_loop", **more: Any) -> Problem:
    return Problem(**{"kind": kind, "about": about, "severity": "error", **more})


class Clocked:
    """An `Alerting` that is asked whenever it wants to be, and tells at once."""

    def __init__(self, repeat: float | None = None, level: Severity = "warning") -> None:
        self.alerting = Alerting(repeat=repeat, level=level)
        self.now = 1_000_000.0
        self.messages: list[tuple[float, list[str], list[str]]] = []

    def raise_(self, one: Problem, title: str = "it is broken") -> bool:
        return self.alerting.problem(one, title, self.now)

    def over(self, about: str = "web", *, steady: float = 0.0, **more: Any) -> None:
        self.alerting.resolve(Over(about=about, steady=steady > 0, **more), self.now, steady)

    def wait(self, seconds: float) -> None:
        """Time goes by; whatever is due is told when it is."""
        until = self.now + seconds
        for _ in range(10_000):
            at = self.alerting.next()
            if at is None or at > until:
                break
            self.now = max(self.now, at)
            telling = self.alerting.take(self.now)
            if telling.begun or telling.ended:
                self.messages.append((self.now, [one.key for one in telling.begun], [one.key for one in telling.ended]))
                self.alerting.told(telling, self.now)
        else:
            raise AssertionError("it never comes to rest")
        self.now = until

    def told(self) -> list[str]:
        return [key for _, begun, _ in self.messages for key in begun]

    def resolved(self) -> list[str]:
        return [key for _, _, ended in self.messages for key in ended]


def test_a_burst_is_one_message() -> None:
    clock = Clocked()
    for number in range(200):
        clock.raise_(problem(f"w{number}"))
    clock.wait(60)
    assert len(clock.messages) == 1
    at, begun, _ = clock.messages[0]
    assert len(begun) == 200
    assert at == 1_000_000.0 + GATHER


def test_a_storm_slows_the_messages_down_and_loses_nothing() -> None:
    clock = Clocked()
    for number in range(600):
        clock.raise_(problem(f"w{number}"))
        clock.wait(1)
    clock.wait(120)
    assert sorted(clock.told()) == sorted(f"crash_loop:w{number}" for number in range(600))
    assert len(clock.messages) < 20
    pauses = [later[0] - sooner[0] for sooner, later in itertools.pairwise(clock.messages)]
    assert max(pauses) <= 61


def test_what_is_critical_waits_for_no_pause() -> None:
    clock = Clocked()
    for number in range(10):
        clock.raise_(problem(f"w{number}"))
        clock.wait(10)
    began = clock.now
    clock.raise_(problem("root", kind="gave_up", severity="critical"))
    clock.wait(5)
    assert [at for at, begun, _ in clock.messages if "gave_up:root" in begun] == [began + GATHER]


def test_the_same_is_told_once_and_again_every_repeat_while_it_lasts() -> None:
    clock = Clocked(repeat=6 * HOUR)
    for _ in range(25 * 60):
        clock.raise_(problem())
        clock.wait(60)
    assert len(clock.told()) == 5  # at once, after 6, 12, 18 and 24 hours
    clock = Clocked()
    for _ in range(25 * 60):
        clock.raise_(problem())
        clock.wait(60)
    assert len(clock.told()) == 1


def test_news_is_told_at_most_once_an_hour_or_every_repeat() -> None:
    clock = Clocked()
    for _ in range(2 * 24 * 60):
        clock.raise_(problem("nightly", kind="job_failing", again=True))
        clock.wait(60)
    assert len(clock.told()) == 48
    for repeat, wanted in ((None, 4), (6 * HOUR, 1)):
        clock = Clocked(repeat=repeat)
        for _ in range(4):
            clock.raise_(problem("nightly", kind="job_failing", again=True))
            clock.wait(HOUR)
        assert len(clock.told()) == wanted


def test_what_has_become_worse_is_told_at_once() -> None:
    clock = Clocked(repeat=6 * HOUR)
    clock.raise_(problem(severity="warning"))
    clock.wait(HOUR)
    clock.raise_(problem(severity="critical"), "it burns")
    clock.wait(60)
    assert len(clock.told()) == 2
    assert clock.alerting.conditions["crash_loop:web"].title == "it burns"


def test_the_end_is_told_of_what_was_told() -> None:
    clock = Clocked()
    clock.raise_(problem())
    clock.wait(60)
    clock.over()
    clock.wait(60)
    assert clock.resolved() == ["crash_loop:web"]
    clock.over()
    clock.wait(HOUR)
    assert len(clock.messages) == 2


def test_what_is_over_before_it_was_worth_telling_is_never_told() -> None:
    clock = Clocked()
    clock.raise_(problem(kind="held", after=60.0))
    clock.wait(30)
    clock.over()
    clock.wait(HOUR)
    assert clock.messages == []
    clock.raise_(problem(kind="held", after=60.0))
    clock.wait(70)
    assert clock.told() == ["held:web"]


def test_what_is_told_only_if_it_lasts_is_no_news_before_it_is_told() -> None:
    """The journal has its `alert_raised` then, not when it begins."""
    clock = Clocked()
    held = problem(kind="held", after=60.0)
    assert clock.raise_(problem())
    assert not clock.raise_(held)
    assert not clock.raise_(problem(kind="held", after=60.0, severity="critical", again=True))
    assert [one.said for one in clock.alerting.conditions.values()] == [True, False]
    clock.wait(70)
    assert clock.told() == ["crash_loop:web", "held:web"]
    assert [one.said for one in clock.alerting.conditions.values()] == [True, True]
    assert clock.raise_(problem(kind="held", after=60.0, severity="critical", again=True))


def test_who_comes_up_while_the_message_waits_is_told_all_the_same() -> None:
    clock = Clocked()
    clock.raise_(problem())
    clock.wait(0.5)
    clock.over()
    clock.wait(60)
    assert clock.told() == clock.resolved() == ["crash_loop:web"]


def test_a_crash_loop_is_over_only_when_it_stays_up() -> None:
    clock = Clocked()
    clock.raise_(problem())
    for _ in range(20):
        clock.over(steady=300.0)
        clock.wait(200)
        clock.alerting.relapse(Relapse("web"), clock.now)
        clock.raise_(problem())
    assert clock.resolved() == []
    clock.over(steady=300.0)
    clock.wait(HOUR * 2)
    assert clock.resolved() == ["crash_loop:web"]


def test_one_that_comes_and_goes_is_told_ever_more_rarely() -> None:
    clock = Clocked()
    for _ in range(24 * 6):  # every ten minutes for a day
        clock.raise_(problem())
        clock.wait(300)
        clock.over()
        clock.wait(300)
    assert 2 <= len(clock.told()) <= 6
    clock.wait(2 * HOUR)
    assert len(clock.resolved()) == len(clock.told())  # nobody is left believing that it is down


def test_what_does_not_last_is_told_and_forgotten_or_counted() -> None:
    clock = Clocked()
    for _ in range(3):
        clock.raise_(problem(kind="alert", ends=False, again=True))
        clock.wait(HOUR)
    clock.wait(60)
    assert len(clock.told()) == 3
    clock.wait(2 * HOUR)
    assert clock.alerting.conditions == {}
    clock = Clocked(repeat=6 * HOUR)
    for _ in range(3):
        clock.raise_(problem(kind="alert", ends=False, again=True))
        clock.wait(HOUR)
    assert len(clock.told()) == 1
    clock.wait(3 * HOUR + 60)  # the count of the other two
    assert len(clock.told()) == 2
    assert clock.alerting.conditions["alert:web"].count == 3
    clock.wait(12 * HOUR)
    assert len(clock.told()) == 2
    assert clock.alerting.conditions == {}


def test_below_the_level_nobody_is_told() -> None:
    clock = Clocked(level="error")
    clock.raise_(problem(severity="warning"))
    clock.over()
    clock.wait(HOUR)
    assert clock.messages == []
    assert clock.alerting.conditions == {}


def test_a_clock_that_is_set_back_delays_nothing() -> None:
    clock = Clocked(repeat=6 * HOUR)
    clock.raise_(problem())
    clock.wait(60)
    clock.now -= 30 * 24 * HOUR
    clock.raise_(problem("db"))
    clock.wait(7 * HOUR)
    assert clock.told().count("crash_loop:db") == 2
    assert clock.told().count("crash_loop:web") == 2


def test_a_name_that_is_no_longer_in_the_tree_is_forgotten() -> None:
    clock = Clocked()
    clock.raise_(problem())
    clock.raise_(problem("db"))
    clock.alerting.keep_about({"db"})
    clock.wait(60)
    assert clock.told() == ["crash_loop:db"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["raise", "again", "event", "over", "steady", "relapse", "wait", "handover"]),
            st.sampled_from(["a", "b", "c"]),
            st.floats(0.1, 4000),
        ),
        max_size=40,
    ),
    st.sampled_from([None, 600.0, 6 * HOUR]),
)
def test_nothing_is_lost_and_the_last_word_is_true(steps: list[tuple[str, str, float]], repeat: float | None) -> None:
    """Whatever happens, and whoever hands over to whom in between: each trouble that lasts is told, what is over and
    was told is told to be over, and between two messages there is a pause."""
    clock = Clocked(repeat=repeat)
    open_ = set()
    for what, about, seconds in steps:
        if what in ("raise", "again", "event"):
            clock.raise_(problem(about, kind=what, again=what != "raise", ends=what != "event"))
            open_.add(f"{what}:{about}")
        elif what in ("over", "steady"):
            clock.over(about, steady=seconds if what == "steady" else 0.0)
            open_ -= {f"raise:{about}", f"again:{about}"}
        elif what == "relapse":
            clock.alerting.relapse(Relapse(about), clock.now)
            open_ |= {key for key, each in clock.alerting.conditions.items() if each.over is each.closed is None}
        elif what == "wait":
            clock.wait(seconds)
        else:
            before = clock.alerting
            clock.alerting = Alerting(repeat=repeat)
            for condition in before.conditions.values():
                clock.alerting.load(
                    Condition(**{name: getattr(condition, name) for name in condition.__struct_fields__})
                )
    clock.wait(8 * HOUR)
    for key in open_:
        assert key in clock.told()
    for key in {key for key in clock.told() if not key.startswith("event")}:
        words = [(at, word) for at, *lists in clock.messages for word, keys in enumerate(lists) if key in keys]
        assert max(words)[1] == (0 if key in open_ else 1)
    handovers = any(what == "handover" for what, _, _ in steps)
    if not handovers:
        times = [at for at, _, _ in clock.messages]
        assert all(later - sooner >= 1.9 for sooner, later in itertools.pairwise(times))


def test_taking_without_telling_gives_it_again() -> None:
    """A root that dies while it makes the text has told nobody."""
    alerting = Alerting()
    alerting.problem(problem(), "x", 0.0)
    first = alerting.take(10.0)
    assert [one.key for one in first.begun] == ["crash_loop:web"]
    assert [one.key for one in alerting.take(10.0).begun] == ["crash_loop:web"]
    alerting.told(first, 10.0)
    assert alerting.take(10.0) == Telling([], [])


# Which lines


@pytest.mark.parametrize(
    ("event", "name", "fields", "kinds"),
    [
        ("restart_scheduled", "web", {"attempt": 4}, []),
        ("restart_scheduled", "web", {"attempt": 5}, ["crash_loop"]),
        ("gave_up", "market", {"child": "root/market/uw", "intensity": 5, "period": 60}, ["gave_up"]),
        ("failed", "migrate", {"exit": "exit status 1"}, ["failed"]),
        ("hung", "web", {}, ["hung"]),
        ("held", "web", {"reason": "env X is not set", "by": None}, ["held"]),
        ("held", "web", {"by": "alice"}, []),
        ("limit_exceeded", "web", {"kind": "memory", "severity": "warning"}, ["limit"]),
        ("limit_exceeded", "nightly", {"kind": "memory", "severity": "warning", "then": "alert"}, ["limit"]),
        ("limit_exceeded", "nightly", {"kind": "memory", "severity": "warning", "then": "fail"}, []),
        ("probe_failed", "web", {"probe": "http", "then": "alert"}, ["probe"]),
        ("probe_failed", "web", {"probe": "http", "then": "restart"}, []),
        ("job_failing", "nightly", {"failures": 3}, ["job_failing"]),
        ("run_overdue", "nightly", {}, ["run_overdue"]),
        ("job_unexpected_exit", "nightly", {}, []),  # whether it is told is decided at the end of the run: job_failing
        ("recovery_suppressed", "nightly", {}, ["recovery_suppressed"]),
        ("no_activity", "posts", {"severity": "critical"}, ["no_activity"]),
        ("root_lost", None, {"reason": "killed by SIGKILL"}, ["root_lost"]),
        ("root_lost", None, {"reason": "upgrade"}, []),
        ("child_started", ":alert.command", {}, []),
        ("child_exited", "web", {"normal": False}, []),
    ],
)
def test_what_is_worth_telling(event: str, name: str | None, fields: dict[str, Any], kinds: list[str]) -> None:
    found = [finding.kind for finding in judge(event, name, fields) if isinstance(finding, Problem)]
    assert found == kinds


def test_each_program_of_a_run_has_limits_of_its_own() -> None:
    lines: list[dict[str, Any]] = [{"kind": "memory", "program": f"job:train@{one}"} for one in ("1w", "1m")]
    found = [each for line in lines for each in judge("limit_exceeded", "job", line)]
    assert len({each.key for each in found if isinstance(each, Problem)}) == 2
    (over,) = judge("limit_kept_again", "job", lines[0])
    assert isinstance(over, Over)
    assert [over.detail == each.detail for each in found if isinstance(each, Problem)] == [True, False]


def test_the_last_failure_of_a_job_that_is_gone_is_told_and_done_with() -> None:
    ends = [judge("job_failing", "job", {"failures": 1, **more}) for more in ({}, {"removed": True})]
    assert [each.ends for found in ends for each in found if isinstance(each, Problem)] == [True, False]


def test_a_give_up_is_about_the_child_and_critical_at_the_root() -> None:
    (found,) = judge("gave_up", "root", {"child": "root/market/uw"})
    assert isinstance(found, Problem)
    assert (found.about, found.severity) == ("uw", severity("gave_up", {"name": "root"})) == ("uw", "critical")


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (("job_failing", {}), ("run_ended", {"run": {"state": "succeeded"}})),
        (("run_overdue", {}), ("run_started", {})),
        (("no_activity", {}), ("activity_resumed", {})),
        (("limit_exceeded", {"kind": "cpu"}), ("limit_kept_again", {"kind": "cpu"})),
        (("limit_exceeded", {"kind": "cpu", "then": "alert"}), ("run_ended", {"run": {"state": "failed"}})),
        (("probe_failed", {"probe": "tcp x", "then": "alert"}), ("probe_passed", {"probe": "tcp x"})),
        (("failed", {}), ("wish_changed", {"wish": "down"})),
        (("restart_scheduled", {"attempt": 9}), ("completed", {})),
        (("logger_dropping", {}), ("logger_recovered", {})),
    ],
)
def test_each_trouble_has_its_end(begin: tuple[str, dict[str, Any]], end: tuple[str, dict[str, Any]]) -> None:
    clock = Clocked()
    for finding in judge(begin[0], "x", begin[1]):
        assert isinstance(finding, Problem)
        clock.raise_(finding)
    clock.wait(60)
    # One of another kind of the same name, and the same of another name, do not end it.
    for finding in (*judge(end[0], "y", end[1]), Over(about="x", kinds=frozenset(("another",)))):
        assert isinstance(finding, Over)
        clock.alerting.resolve(finding, clock.now)
    clock.wait(60)
    assert clock.resolved() == []
    for finding in judge(end[0], "x", end[1]):
        assert isinstance(finding, Over)
        clock.alerting.resolve(finding, clock.now)
    clock.wait(60)
    assert clock.resolved() == clock.told() != []


def test_a_failed_run_does_not_end_the_alert_about_the_job() -> None:
    clock = Clocked()
    clock.raise_(problem("nightly", kind="job_failing"))
    clock.wait(10)
    for finding in judge("run_ended", "nightly", {"run": {"state": "failed"}}):
        assert isinstance(finding, Over)
        clock.alerting.resolve(finding, clock.now)
    clock.wait(60)
    assert clock.resolved() == []


def test_a_detail_is_another_condition() -> None:
    clock = Clocked()
    for detail in ("memory", "cpu"):
        clock.raise_(problem(kind="limit", detail=detail))
    clock.wait(10)
    clock.over(kinds=frozenset(("limit",)), detail="cpu")
    clock.wait(10)
    assert clock.resolved() == ["limit:web:cpu"]
