"""What the tree adds to OTP (design §4), a rule a test."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from supervisor_tree.core import events as ev
from supervisor_tree.core import view
from supervisor_tree.core.spec import (
    Backoff,
    ChildSpec,
    Level,
    Need,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)
from tests.unit.core.shell import CRASH, DONE, TERM, Shell, oks

LADDER = Backoff(first=0.0, initial=1.0, factor=2.0, max=8.0, reset=60.0)
ALL, REST = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


def worker(name: str, **more: Any) -> WorkerSpec:
    return WorkerSpec(name=name, **more)


def tree(*children: ChildSpec, **more: Any) -> Shell:
    """A tree as tree files make it: its root never gives up, a first start that fails is tried again."""
    more = {"intensity": None, "first_start": "retry", **more}
    return Shell(SupervisorSpec(name="root", children=children, **more)).start()


def running(*children: ChildSpec, **more: Any) -> Shell:
    shell = tree(*children, **more)
    shell.settle()
    return shell


def sup(name: str, *children: ChildSpec, **more: Any) -> SupervisorSpec:
    return SupervisorSpec(name=name, children=children, **{"first_start": "retry", **more})


class TestStart:
    def test_under_one_for_one_all_spawns_go_out_at_once(self) -> None:
        shell = tree(*(worker(f"w{n}") for n in range(1000)))
        assert len(shell.spawning) == 1000

    def test_under_rest_for_one_each_waits_for_the_spawn_of_the_one_before(self) -> None:
        shell = tree(worker("a"), worker("b"), strategy=REST)
        assert list(shell.spawning) == ["root/a"]
        shell.spawned("root/a")
        assert list(shell.spawning) == ["root/b"]

    @pytest.mark.parametrize("strategy", [ALL, REST])
    def test_an_ordered_child_waits_until_the_one_before_is_ready(self, strategy: Strategy) -> None:
        shell = tree(worker("a", told_ready=True), worker("b"), worker("c"), strategy=strategy)
        shell.spawned("root/a")
        assert shell.statuses("root/a", "root/b", "root/c") == ["starting", "waiting", "waiting"]
        assert shell.reason("root/b") == "waiting for a"
        shell.ready("root/a")
        shell.answer()
        assert shell.statuses("root/a", "root/b", "root/c") == ["running"] * 3
        assert shell.trail == ["+root/a", "+root/b", "+root/c"]

    def test_a_supervisor_before_is_ready_when_all_its_children_are(self) -> None:
        shell = tree(sup("s", worker("a", told_ready=True)), worker("b"), strategy=REST)
        shell.answer()
        assert shell.status("root/b") == "waiting"
        shell.ready("root/s/a")
        shell.answer()
        assert shell.status("root/b") == "running"

    def test_a_later_ready_counts_in_no_intensity(self) -> None:
        shell = tree(worker("a", told_ready=True), worker("b"), strategy=REST, intensity=0)
        shell.settle()
        assert shell.statuses("root", "root/b") == ["running", "running"]

    def test_a_first_start_that_fails_is_tried_again_and_counts(self) -> None:
        shell = tree(worker("a", backoff=LADDER), worker("b"))
        shell.spawn_failed("root/a")
        shell.answer()
        assert shell.statuses("root", "root/a", "root/b") == ["degraded", "starting", "running"] or shell.living
        assert shell.node("root/a").restarts == 1

    def test_a_first_start_that_fails_fails_the_supervisor_where_otp_is_wanted(self) -> None:
        shell = tree(worker("a"), worker("b"), first_start="fail")
        shell.spawned("root/a")
        shell.spawn_failed("root/b")
        shell.answer()
        assert shell.ended is not None
        assert shell.ended.why == "failed_start"
        assert shell.trail == ["+root/a", "+root/b", "-root/a"]

    def test_a_stop_preempts_a_start(self) -> None:
        shell = tree(worker("a"))
        request = shell.request(ev.StopRequested, "root/a")
        assert shell.stopping == {"root/a": 5.0}
        shell.spawned("root/a")
        shell.answer()
        assert oks(shell.replies[request]) == {"root/a": True}
        assert shell.status("root/a") == "stopped"

    def test_a_stop_of_a_start_that_fails_ends_with_that(self) -> None:
        shell = tree(worker("a"))
        request = shell.request(ev.StopRequested, "root/a")
        shell.spawn_failed("root/a")
        assert oks(shell.replies[request]) == {"root/a": True}
        assert shell.node("root/a").restarts == 0


class TestReadiness:
    def test_not_ready_in_time_is_a_crash(self) -> None:
        shell = tree(worker("a", told_ready=True, start_timeout=60.0, backoff=LADDER))
        shell.answer()
        shell.advance(60.0)
        shell.answer()
        assert shell.node("root/a").restarts == 1
        assert "not ready within 60 s" in str(shell.noted("child_exited")[-1].fields["exit"])

    def test_ready_in_time_disarms(self) -> None:
        shell = tree(worker("a", told_ready=True, start_timeout=60.0))
        shell.settle()
        assert not shell.timers

    def test_an_end_before_ready_is_a_crash_whatever_its_status(self) -> None:
        shell = tree(worker("a", told_ready=True, restart=Restart.TRANSIENT))
        shell.answer()
        shell.exited("root/a", DONE)
        assert shell.node("root/a").restarts == 1
        assert list(shell.spawning) == ["root/a"]

    def test_a_kill_is_a_crash_even_if_the_program_exits_0(self) -> None:
        shell = running(worker("a", restart=Restart.TRANSIENT))
        shell.tell(ev.KillRequested("root/a", 1, "hung"))
        assert shell.status("root/a") == "stopping"
        shell.exited("root/a", DONE)
        assert shell.node("root/a").restarts == 1

    def test_success_is_the_end_of_a_transient_child(self) -> None:
        shell = running(worker("a", restart=Restart.TRANSIENT))
        shell.exited("root/a", DONE)
        assert shell.status("root/a") == "completed"


class TestGates:
    def test_a_need_that_is_not_met_lets_siblings_go_on(self) -> None:
        shell = tree(worker("a", told_ready=True), worker("b", needs=(Need("root/a", Level.READY),)), worker("c"))
        shell.answer()
        assert shell.statuses("root/a", "root/b", "root/c") == ["starting", "waiting", "running"]
        shell.ready("root/a")
        shell.answer()
        assert shell.status("root/b") == "running"
        assert shell.node("root/b").restarts == 0

    @pytest.mark.parametrize(
        ("level", "before"), [(Level.STARTED, "running"), (Level.READY, "waiting"), (Level.HEALTHY, "waiting")]
    )
    def test_levels(self, level: Level, before: str) -> None:
        shell = tree(worker("a", told_ready=True), worker("b", needs=(Need("root/a", level),)))
        shell.answer()
        assert shell.status("root/b") == before

    def test_completed_satisfies_every_level(self) -> None:
        for level in Level:
            job = worker("a", restart=Restart.TEMPORARY)
            shell = tree(job, worker("b", needs=(Need("root/a", level),)))
            shell.spawned("root/a")
            shell.exited("root/a", DONE)
            shell.answer()
            assert shell.statuses("root/a", "root/b") == ["completed", "running"]

    def test_a_one_shot_that_fails_leaves_those_who_need_it_waiting(self) -> None:
        shell = tree(worker("a", restart=Restart.TEMPORARY), worker("b", needs=(Need("root/a", Level.COMPLETED),)))
        shell.spawned("root/a")
        shell.exited("root/a", CRASH)
        assert shell.statuses("root/a", "root/b") == ["failed", "waiting"]
        shell.request(ev.StartRequested, "root/a")
        shell.spawned("root/a")
        shell.exited("root/a", DONE)
        shell.answer()
        assert shell.statuses("root/a", "root/b") == ["completed", "running"]

    def test_nobody_is_stopped_because_a_need_is_lost(self) -> None:
        shell = running(worker("a", backoff=LADDER), worker("b", needs=(Need("root/a", Level.READY),)))
        for _ in range(2):
            shell.exited("root/a")
            shell.answer()
        assert shell.statuses("root/a", "root/b") == ["backoff", "running"]

    def test_what_require_holds_starts_when_the_gate_opens(self) -> None:
        shell = tree(worker("a"), worker("b"), strategy=REST, intensity=0)
        shell.ignored("root/a", "env X is not set")
        assert shell.statuses("root/a", "root/b") == ["held", "waiting"]
        assert shell.reason("root/a") == "env X is not set"
        shell.tell(ev.GateOpened("root/a"))
        shell.answer()
        assert shell.statuses("root/a", "root/b") == ["running", "running"]


class TestBackoff:
    def test_the_first_restart_comes_at_once_and_the_ladder_climbs(self) -> None:
        shell = running(worker("a", backoff=LADDER))
        delays = []
        for _ in range(6):
            shell.exited("root/a")
            armed = shell.timers.get(("root/a", "restart"))
            delays.append(0.0 if armed is None else armed - shell.now)
            shell.settle()
        assert delays == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0]

    def test_a_restart_without_delay_goes_out_with_the_exit(self) -> None:
        shell = running(worker("a"))
        shell.exited("root/a")
        assert list(shell.spawning) == ["root/a"]

    def test_ready_for_reset_seconds_leaves_the_ladder(self) -> None:
        shell = running(worker("a", backoff=LADDER))
        for _ in range(3):
            shell.exited("root/a")
            shell.settle()
        shell.advance(60.0)
        shell.exited("root/a")
        assert list(shell.spawning) == ["root/a"]

    def test_failed_starts_climb_the_same_ladder(self) -> None:
        shell = tree(worker("a", backoff=LADDER))
        shell.spawn_failed("root/a")
        shell.fire("root/a", "retry")
        shell.spawn_failed("root/a")
        shell.fire("root/a", "retry")
        assert shell.status("root/a") == "backoff"
        assert view.node(shell.tree, "root/a").next_attempt == 1.0

    def test_the_set_is_stopped_at_once_then_comes_one_delay_then_the_start(self) -> None:
        shell = running(worker("a"), worker("b", backoff=replace(LADDER, first=3.0)), worker("c"), strategy=REST)
        shell.trail.clear()
        shell.exited("root/b")
        assert shell.trail == ["-root/c"]
        assert shell.statuses("root/a", "root/b", "root/c") == ["running", "waiting", "stopping"]
        shell.exited("root/c", TERM)
        assert shell.statuses("root/a", "root/b", "root/c") == ["running", "backoff", "backoff"]
        assert shell.reason("root/c") == "restarts with b"
        shell.advance(3.0)
        shell.answer()
        assert shell.trail == ["-root/c", "+root/b", "+root/c"]

    def test_it_belongs_to_the_path_and_survives_the_supervisor(self) -> None:
        shell = running(sup("s", worker("a", backoff=LADDER), intensity=2))
        for _ in range(3):
            shell.exited("root/s/a")
            if shell.timers:
                shell.advance(max(shell.timers.values()) - shell.now)
            shell.answer()
        assert shell.node("root/s").incarnation == 2
        shell.exited("root/s/a")
        assert shell.timers["root/s/a", "restart"] - shell.now >= 4.0

    def test_it_delays_the_restarted_supervisor(self) -> None:
        shell = running(sup("s", worker("a", backoff=LADDER), intensity=2))
        for _ in range(3):
            shell.exited("root/s/a")
            if ("root/s/a", "restart") in shell.timers:
                shell.fire("root/s/a", "restart")
            shell.answer() if shell.spawning else None
        assert shell.timers["root/s", "restart"] - shell.now == 2.0
        assert shell.statuses("root/s", "root/s/a") == ["failed", "backoff"]

    def test_jitter_is_the_same_in_every_replay_and_within_its_bounds(self) -> None:
        ladder = Backoff(first=10.0, initial=10.0, max=10.0, jitter=0.1)
        delays = set()
        for name in "abcdefgh":
            pair = []
            for _ in range(2):
                shell = running(worker(name, backoff=ladder))
                shell.exited(f"root/{name}")
                pair.append(shell.timers[f"root/{name}", "restart"])
            assert pair[0] == pair[1]
            assert 9.0 <= pair[0] <= 11.0
            delays.add(pair[0])
        assert len(delays) > 5

    def test_a_start_ends_the_delay_and_the_ladder(self) -> None:
        shell = running(worker("a", backoff=LADDER))
        for _ in range(2):
            shell.exited("root/a")
            shell.answer()
        assert shell.status("root/a") == "backoff"
        request = shell.request(ev.StartRequested, "root/a")
        shell.answer()
        assert oks(shell.replies[request]) == {"root/a": True}
        assert not shell.timers
        shell.exited("root/a")
        assert list(shell.spawning) == ["root/a"]

    def test_terminate_cancels_it(self) -> None:
        shell = running(worker("a", backoff=replace(LADDER, first=5.0)))
        shell.exited("root/a")
        assert shell.call(ev.RestartChildCalled, "root", "a") == ["error", "restarting"]
        assert shell.call(ev.TerminateChildCalled, "root", "a") == "ok"
        assert not shell.timers


class TestNothingBlocks:
    def test_one_restarts_while_another_takes_its_time_to_stop(self) -> None:
        shell = running(worker("a"), worker("b"))
        shell.request(ev.StopRequested, "root/a")
        shell.exited("root/b")
        assert list(shell.spawning) == ["root/b"]

    def test_an_earlier_exit_widens_the_round(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"), strategy=REST)
        shell.trail.clear()
        shell.exited("root/b")
        shell.exited("root/a")
        shell.answer()
        assert shell.trail == ["-root/c", "+root/a", "+root/b", "+root/c"]
        assert shell.node("root/a").restarts == 1

    def test_a_member_that_ends_by_itself_while_the_round_stops_it_is_counted_nowhere(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"), strategy=ALL, intensity=1)
        shell.exited("root/a")
        shell.exited("root/b")
        shell.answer()
        assert shell.status("root") == "running"
        assert shell.node("root/b").restarts == 0

    def test_a_member_stopped_by_the_operator_during_the_round_stays_down(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"), strategy=ALL)
        shell.exited("root/a")
        shell.request(ev.StopRequested, "root/b")
        shell.settle()
        assert shell.statuses("root/a", "root/b", "root/c") == ["running", "stopped", "running"]

    def test_the_owner_stopped_during_its_delay_lets_the_others_go_on(self) -> None:
        shell = running(worker("a", backoff=replace(LADDER, first=9.0)), worker("b"), strategy=ALL)
        shell.exited("root/a")
        shell.answer()
        assert shell.status("root/b") == "backoff"
        shell.request(ev.StopRequested, "root/a")
        shell.answer()
        assert shell.statuses("root/a", "root/b") == ["stopped", "running"]


class TestWishes:
    def test_a_stop_outlives_a_round(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"), strategy=REST)
        shell.request(ev.StopRequested, "root/b", by=ev.By(who="joe@tty1", why="tired"))
        shell.answer()
        shell.exited("root/a")
        shell.settle()
        assert shell.statuses("root/a", "root/b", "root/c") == ["running", "stopped", "running"]
        assert shell.reason("root/b") == "stopped by joe@tty1: tired"

    def test_a_stop_outlives_its_supervisor(self) -> None:
        shell = running(sup("s", worker("a"), worker("b"), intensity=0))
        shell.request(ev.StopRequested, "root/s/a")
        shell.answer()
        shell.exited("root/s/b")
        shell.settle()
        assert shell.node("root/s").incarnation == 2
        assert shell.statuses("root/s/a", "root/s/b") == ["stopped", "running"]

    def test_wishes_outlive_the_tree(self) -> None:
        shell = running(worker("a"), worker("b"))
        by = ev.By(who="joe", at=1.0)
        shell.request(ev.StopRequested, "root/a", by=by)
        shell.request(ev.HoldRequested, "root/b", by=by)
        wishes = view.wishes(shell.tree)
        assert wishes == {"root/a": ("down", by), "root/b": ("hold", by)}
        again = Shell(shell.tree.spec)
        again.tell(ev.WishesRestored(wishes))
        again.start()
        again.settle()
        assert again.statuses("root/a", "root/b") == ["stopped", "held"]

    def test_hold_leaves_a_running_child_alone(self) -> None:
        shell = running(worker("a"))
        shell.request(ev.HoldRequested, "root/a")
        shell.tell(ev.KillRequested("root/a", 1, "hung"))
        assert shell.status("root/a") == "running"
        assert shell.noted("left_alone")
        shell.exited("root/a")
        assert shell.status("root/a") == "held"
        assert not shell.spawning
        shell.request(ev.ReleaseRequested, "root/a")
        assert list(shell.spawning) == ["root/a"]
        assert shell.node("root/a").restarts == 0

    def test_hold_of_a_supervisor_is_for_all_below_it(self) -> None:
        shell = running(sup("s", worker("a")))
        shell.request(ev.HoldRequested, "root/s")
        shell.exited("root/s/a")
        assert shell.status("root/s/a") == "held"
        shell.request(ev.ReleaseRequested, "root/s")
        shell.answer()
        assert shell.status("root/s/a") == "running"

    def test_a_supervisor_is_stopped_in_reverse_and_started_again(self) -> None:
        shell = running(sup("s", worker("a"), worker("b")), worker("c"))
        shell.trail.clear()
        request = shell.request(ev.StopRequested, "root/s")
        shell.answer()
        assert oks(shell.replies[request]) == {"root/s": True}
        assert shell.trail == ["-root/s/b", "-root/s/a"]
        assert shell.statuses("root/s", "root/s/a", "root/c") == ["stopped", "stopped", "running"]
        assert shell.reason("root/s/a") == "its supervisor s is stopped"
        request = shell.request(ev.StartRequested, "root/s")
        assert request not in shell.replies
        shell.answer()
        assert oks(shell.replies[request]) == {"root/s": True}

    def test_a_restart_counts_in_no_intensity(self) -> None:
        shell = running(worker("a"), intensity=0)
        for _ in range(3):
            request = shell.request(ev.RestartRequested, "root/a")
            shell.answer()
            assert oks(shell.replies[request]) == {"root/a": True}
        assert shell.node("root/a").restarts == 0
        assert shell.node("root/a").incarnation == 4

    def test_a_restart_touches_nobody_else_unless_tied(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"), strategy=REST)
        shell.trail.clear()
        shell.request(ev.RestartRequested, "root/b")
        shell.answer()
        assert shell.trail == ["-root/b", "+root/b"]
        shell.trail.clear()
        request = shell.request(ev.RestartRequested, "root/b", tied=True)
        shell.answer()
        assert shell.trail == ["-root/c", "-root/b", "+root/b", "+root/c"]
        assert oks(shell.replies[request]) == {"root/b": True, "root/c": True}

    def test_a_tied_stop_takes_what_the_strategy_ties(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"), strategy=REST)
        shell.request(ev.StopRequested, "root/b", tied=True)
        shell.answer()
        assert shell.statuses("root/a", "root/b", "root/c") == ["running", "stopped", "stopped"]

    def test_a_one_shot_that_ended_is_still_shown_and_starts_at_its_old_place(self) -> None:
        shell = running(worker("a"), worker("b", restart=Restart.TEMPORARY), worker("c"))
        shell.exited("root/b", DONE)
        assert [one.status for one in view.whole(shell.tree).children] == ["running", "completed", "running"]
        shell.request(ev.StartRequested, "root/b")
        shell.answer()
        assert [one.name for one in view.whole(shell.tree).children] == ["a", "b", "c"]
        assert shell.status("root/b") == "running"


class TestReplies:
    def test_a_start_ends_when_ready(self) -> None:
        shell = running(worker("a", told_ready=True))
        shell.request(ev.StopRequested, "root/a")
        shell.answer()
        request = shell.request(ev.StartRequested, "root/a")
        shell.answer()
        assert request not in shell.replies
        shell.ready("root/a")
        assert oks(shell.replies[request]) == {"root/a": True}

    def test_a_start_that_fails_says_why(self) -> None:
        shell = running(worker("a", backoff=LADDER))
        shell.request(ev.StopRequested, "root/a")
        shell.answer()
        request = shell.request(ev.StartRequested, "root/a")
        shell.spawn_failed("root/a", "no such file: x")
        assert oks(shell.replies[request]) == {"root/a": "start failed: no such file: x"}

    def test_a_start_is_superseded_by_a_later_stop(self) -> None:
        shell = running(worker("a", told_ready=True))
        start = shell.request(ev.RestartRequested, "root/a")
        shell.request(ev.StopRequested, "root/a")
        assert oks(shell.replies[start]) == {"root/a": "superseded by stop"}

    def test_a_start_before_a_closed_gate_says_which(self) -> None:
        shell = running(worker("a"), worker("b", needs=(Need("root/a", Level.READY),)))
        shell.request(ev.StopRequested, "root/a", "root/b")
        shell.answer()
        request = shell.request(ev.StartRequested, "root/b")
        assert oks(shell.replies[request]) == {"root/b": "waiting for a, which is down"}

    def test_an_unknown_name_is_told(self) -> None:
        shell = running(worker("a"))
        request = shell.request(ev.StopRequested, "root/b")
        assert oks(shell.replies[request]) == {"root/b": "no such name"}

    def test_shutdown_ends_every_request(self) -> None:
        shell = running(worker("a", told_ready=True), worker("b"))
        start = shell.request(ev.RestartRequested, "root/a")
        stop = shell.request(ev.StopRequested, "root/b")
        shell.tell(ev.ShutdownRequested("bye"))
        assert oks(shell.replies[start]) == {"root/a": "the tree is shutting down"}
        shell.answer()
        assert oks(shell.replies[stop]) == {"root/b": True}
        assert shell.ended is not None
        assert shell.ended.why == "shutdown"
        assert "bye" in shell.replies

    def test_cancel_ends_an_operation(self) -> None:
        shell = running(worker("a", told_ready=True))
        start = shell.request(ev.RestartRequested, "root/a")
        shell.asked.add("c")
        shell.tell(ev.Cancelled("c", start))
        assert oks(shell.replies[start]) == {"root/a": "cancelled"}
        assert oks(shell.replies["c"]) == {start: True}


class TestGiveUp:
    def test_the_root_can_hold_what_broke_its_intensity(self) -> None:
        shell = running(worker("a"), worker("b"), intensity=2, on_give_up="hold")
        for _ in range(3):
            shell.exited("root/a")
            shell.answer()
        assert shell.ended is None
        assert shell.statuses("root", "root/a", "root/b") == ["degraded", "failed", "running"]
        assert shell.reason("root/a") == "more than 2 restarts in 5 s"
        shell.exited("root/b")
        shell.answer()
        assert shell.status("root/b") == "running"
        shell.request(ev.StartRequested, "root/a")
        shell.answer()
        assert shell.status("root/a") == "running"

    def test_what_is_tied_to_it_is_held_too(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"), strategy=REST, intensity=0, on_give_up="hold")
        shell.exited("root/b")
        shell.answer()
        assert shell.statuses("root/a", "root/b", "root/c") == ["running", "failed", "failed"]

    def test_a_duration_tries_once(self) -> None:
        shell = running(worker("a"), intensity=0, on_give_up=30.0)
        shell.exited("root/a")
        assert shell.status("root/a") == "failed"
        shell.advance(30.0)
        shell.answer()
        assert shell.status("root/a") == "running"
        shell.exited("root/a")
        assert shell.status("root/a") == "failed"
        assert not shell.timers

    def test_otps_root_ends(self) -> None:
        shell = running(worker("a"), worker("b"), intensity=0)
        shell.exited("root/a")
        shell.answer()
        assert shell.ended is not None
        assert (shell.ended.why, shell.ended.path) == ("gave_up", "root/a")


class TestTemporary:
    """One that a round stops is neither `completed` nor `failed`: it is down, and says because of whom."""

    def test_a_round_that_takes_it_says_so(self) -> None:
        shell = running(worker("a"), worker("b", restart=Restart.TEMPORARY), strategy=ALL)
        shell.exited("root/a")
        shell.settle()
        assert shell.statuses("root/a", "root/b") == ["running", "stopped"]
        assert shell.reason("root/b") == "stopped because a is restarted; temporary, so it is not started again"
        shell.request(ev.StartRequested, "root/b")
        shell.settle()
        assert (shell.status("root/b"), shell.reason("root/b")) == ("running", None)

    def test_one_that_is_stopped_by_hand_says_that(self) -> None:
        shell = running(worker("a"), worker("b", restart=Restart.TEMPORARY), strategy=ALL)
        shell.request(ev.StopRequested, "root/b")
        shell.settle()
        assert (shell.status("root/b"), shell.reason("root/b")) == ("stopped", "stopped")

    def test_a_give_up_that_takes_it_says_so(self) -> None:
        shell = running(
            worker("a"), worker("b", restart=Restart.TEMPORARY), strategy=ALL, intensity=0, on_give_up="hold"
        )
        shell.exited("root/a")
        shell.settle()
        assert (shell.status("root/b"), shell.reason("root/b")) == ("failed", "tied to a")


class TestReload:
    def reload(self, shell: Shell, *children: ChildSpec, restart: tuple[str, ...] = (), **more: Any) -> str:
        shell.requests += 1
        request = f"r{shell.requests}"
        shell.asked.add(request)
        shell.trail.clear()
        spec = replace(shell.tree.spec, children=children, **more)
        shell.tell(ev.Reconfigured(request, spec, restart))
        return request

    def test_only_what_changed_is_touched(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"))
        request = self.reload(shell, worker("n"), worker("a"), worker("c", shutdown=1.0), restart=("root/c",))
        shell.answer()
        assert sorted(shell.trail) == ["+root/c", "+root/n", "-root/b", "-root/c"]
        assert view.children(shell.tree, "root") == ["root/n", "root/a", "root/c"]
        assert all(ok is True for ok in oks(shell.replies[request]).values())
        assert "root/b" not in shell.tree.nodes

    def test_whom_it_takes_out_is_named_running_or_not(self) -> None:
        shell = running(worker("a"), worker("b"), worker("c"))
        shell.request(ev.StopRequested, "root/b")
        shell.answer()
        request = self.reload(shell, worker("a"))
        shell.answer()
        assert oks(shell.replies[request]) == {"root/b": True, "root/c": True}

    def test_settings_change_live(self) -> None:
        shell = running(worker("a"))
        self.reload(shell, worker("a", backoff=replace(LADDER, first=7.0), shutdown=1.0))
        assert not shell.trail
        shell.exited("root/a")
        assert shell.timers["root/a", "restart"] == 7.0

    def test_a_moved_child_waits_until_it_is_gone_elsewhere(self) -> None:
        shell = running(worker("a"), sup("s", worker("b")))
        self.reload(shell, worker("a"), sup("s"), worker("b"))
        assert shell.trail == ["-root/s/b"]
        assert shell.status("root/b") == "waiting"
        shell.answer()
        assert shell.trail == ["-root/s/b", "+root/b"]
        assert shell.node("root/b").incarnation == 2

    def test_a_moved_child_keeps_its_wish(self) -> None:
        shell = running(worker("a"), sup("s", worker("b")))
        shell.request(ev.StopRequested, "root/s/b")
        shell.answer()
        self.reload(shell, worker("a"), sup("s"), worker("b"))
        shell.answer()
        assert shell.status("root/b") == "stopped"

    def test_a_worker_that_becomes_a_supervisor_is_replaced(self) -> None:
        shell = running(worker("a"))
        self.reload(shell, sup("a", worker("b")))
        shell.answer()
        assert shell.trail == ["-root/a", "+root/a/b"]

    def test_a_removed_child_keeps_its_incarnations_unrepeated(self) -> None:
        shell = running(worker("a"), worker("b"))
        self.reload(shell, worker("b"))
        shell.answer()
        self.reload(shell, worker("a"), worker("b"))
        shell.answer()
        assert shell.node("root/a").incarnation == 2


class TestSupervisorsTime:
    def test_a_finite_shutdown_kills_what_is_left(self) -> None:
        shell = running(sup("s", worker("a", shutdown="infinity"), worker("b", shutdown="infinity"), shutdown=3.0))
        request = shell.request(ev.StopRequested, "root/s")
        assert shell.stopping == {"root/s/b": None}
        shell.advance(3.0)
        assert shell.stopping == {"root/s/a": 0.0, "root/s/b": 0.0}
        shell.answer()
        assert oks(shell.replies[request]) == {"root/s": True}

    def test_simple_instances_stop_all_at_once(self) -> None:
        pool = sup("s", worker("t"), strategy=Strategy.SIMPLE_ONE_FOR_ONE)
        shell = running(pool)
        for name in "xyz":
            shell.tell(ev.StartChildCalled(name, "root/s", instance=name))
        shell.answer()
        shell.request(ev.StopRequested, "root/s")
        assert len(shell.stopping) == 3
