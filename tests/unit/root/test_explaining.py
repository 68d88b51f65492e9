"""From facts and stacks to one sentence: what can't be made to happen here (swapping, a debugger, uvloop) as data."""

from __future__ import annotations

import pytest

from supervisor_tree.root.hangs.explaining import Case, explain
from supervisor_tree.root.hangs.facts import Facts, Thread
from supervisor_tree.root.hangs.stacks import Dump, Frame, Stack, parse

LEADER = 100


def thread(does: str = "", state: str = "S", cpu: float = 0.0, tid: int = LEADER, **more: object) -> Thread:
    return Thread(tid=tid, name="app", state=state, cpu=cpu, does=does, **more)  # type: ignore[arg-type]


def process(*threads: Thread, pid: int = LEADER, parent: int = 1, state: str = "S", **more: object) -> Facts:
    values: dict[str, object] = {"name": "app", "command": "app --serve", "cpu": 0.0, "resident": 1_000_000, **more}
    return Facts(pid=pid, parent=parent, state=state, threads=threads, **values)  # type: ignore[arg-type]


def stack(*places: str, name: str = "MainThread", tid: int = LEADER) -> Stack:
    """Places are ``file:line:function``, innermost first."""
    frames = tuple(Frame(file, int(line), function) for file, line, function in (each.split(":") for each in places))
    return Stack(name, frames, tid)


def dump(*threads: Stack, complete: bool = True) -> Dump:
    return Dump("", threads, (), complete)


LIB = "/usr/lib/python3.11"
APP = "/srv/app/work.py"


def test_swapping_is_told_before_what_the_stacks_say() -> None:
    facts = process(thread(state="D"), state="D", faults=250, swapped=1_610_000_000)
    found = explain(Case(facts=[facts], dump=dump(stack(f"{APP}:1:run"))))
    assert found.state == "swapping"
    assert "it is swapping: it waited 250 times" in found.text
    assert "1.6 GB of it are in the swap" in found.text


def test_a_debugger_is_named() -> None:
    found = explain(Case(facts=[process(thread(state="t"), state="t", tracer=7, tracer_name="gdb")]))
    assert (found.state, found.text) == ("traced", "it is stopped by a debugger (gdb, pid 7)")


def test_a_frozen_cgroup() -> None:
    found = explain(Case(facts=[process(thread("frozen", where="do_freezer_trap"))]))
    assert found.state == "frozen"
    assert "docker pause" in found.text


def test_a_disk_that_does_not_answer_names_the_file() -> None:
    stuck = thread("read", state="D", fd=5, target="/mnt/share/data.csv", where="folio_wait_bit_common")
    found = explain(Case(facts=[process(stuck, state="D")]))
    assert found.state == "disk"
    assert "/mnt/share/data.csv" in found.text
    assert "folio_wait_bit_common" in found.text


def test_a_socket_is_told_by_its_other_end() -> None:
    waits = thread("receive", fd=5, target="socket:[77]")
    found = explain(Case(facts=[process(waits)], peers={(LEADER, 5): "10.0.0.7:5432"}))
    assert found.text == "it lives and waits for an answer from 10.0.0.7:5432"


def test_one_that_became_another_program_says_so() -> None:
    found = explain(Case(facts=[process(thread("sleep"), command="sleep 1000")], deaf=True))
    assert found.text.startswith("it lives and sleeps (no stacks: it gave up the handler ")
    assert "and is `sleep 1000` now" in found.text


def test_a_shell_that_waits_is_not_whom_people_want_to_hear_of() -> None:
    shell = process(thread("child"), command="sh -c job")
    job = process(thread("sleep", tid=101), pid=101, parent=LEADER, command="sleep 1000")
    found = explain(Case(facts=[shell, job]))
    assert (found.text, found.pid) == ("its process `sleep 1000` (pid 101) lives and sleeps", 101)


def test_a_watcher_is_not_whom_people_want_to_hear_of() -> None:
    watcher = process(thread("events"))
    program = process(thread("lock", tid=101), pid=101, parent=LEADER, command="node server.js")
    idle = stack(f"{LIB}/selectors.py:468:select", f"{LIB}/asyncio/base_events.py:1:_run_once")
    found = explain(Case(facts=[watcher, program], dump=dump(idle), runs_another=True))
    assert found.text == "its process `node server.js` (pid 101) lives and waits for a lock"


def test_a_stopped_watcher_is() -> None:
    watcher = process(thread(state="T"), state="T")
    program = process(thread("lock", tid=101), pid=101, parent=LEADER)
    assert explain(Case(facts=[watcher, program], runs_another=True)).state == "stopped"


def test_the_main_process_that_it_named_is_the_one() -> None:
    leader = process(thread("events"))
    main = process(thread(state="T", tid=101), pid=101, parent=1, state="T")
    found = explain(Case(facts=[leader, main], subject=101))
    assert (found.state, found.pid) == ("stopped", 101)


def test_a_loop_in_c_has_no_frames_of_its_own() -> None:
    main = stack(f"{APP}:12:run", f"{LIB}/asyncio/runners.py:118:run")
    found = explain(Case(facts=[process(thread("sleep"))], dump=dump(main)))
    assert found.text == "its event loop is blocked: at app/work.py:12 in run it sleeps"
    idle = stack(f"{LIB}/asyncio/runners.py:118:run")
    assert explain(Case(facts=[process(thread("events"))], dump=dump(idle))).state == "idle"


def test_the_line_of_the_program_is_told_not_that_of_the_library() -> None:
    main = stack(
        f"{LIB}/ssl.py:1100:read",
        "/srv/venv/lib/python3.11/site-packages/requests/api.py:59:get",
        f"{APP}:30:fetch",
        "/srv/venv/lib/python3.11/site-packages/supervisor_tree/workers/life/living.py:1:run",
    )
    found = explain(Case(facts=[process(thread("read", fd=4, target="socket:[1]"))], dump=dump(main)))
    assert "at app/work.py:30 in fetch it reads from a socket (descriptor 4)" in found.text


def test_two_threads_that_wait_for_one_another() -> None:
    facts = process(thread("lock"), thread("lock", tid=101), thread("events", tid=102))
    threads = (
        stack(f"{APP}:1:main"),
        stack(f"{APP}:2:flush", name="flusher", tid=101),
        stack(f"{APP}:3:serve", name="server", tid=102),
    )
    found = explain(Case(facts=[facts], dump=dump(*threads)))
    assert (
        'at app/work.py:1 in main it waits for a lock; thread "flusher" waits for a lock at app/work.py:2' in found.text
    )
    assert "server" not in found.text


def test_no_bytecode_for_the_main_thread_because_of_another() -> None:
    facts = process(thread("lock"), thread(tid=101, busy=True, state="R"))
    threads = (stack(f"{APP}:1:main"), stack(f"{APP}:2:crunch", name="0x1"))
    found = explain(Case(facts=[facts], dump=dump(*threads, complete=False)))
    assert found.state == "busy"
    assert "in another thread computes without a pause (app/work.py:2 in crunch)" in found.text


@pytest.mark.parametrize(
    ("facts", "told"), [([], "nothing could be learnt"), ([process()], "it lives and does nothing")]
)
def test_little_known_is_little_told(facts: list[Facts], told: str) -> None:
    assert told in explain(Case(facts=facts)).text


def test_no_answer_to_the_signal_is_told() -> None:
    found = explain(Case(facts=[process(thread("lock"))], asked=True))
    assert found.text.endswith("(no stacks: it did not even handle the signal that asks for them)")


def test_a_dump_is_read_in_any_state() -> None:
    assert parse("", 1).main is None
    half = 'Current thread 0x0000000000000001 (most recent call first):\n  File "/srv/a.py", line 3 in f\n  File "/srv'
    found = parse(half, 7)
    assert not found.complete
    assert found.main is not None
    assert (found.main.tid, found.main.frames) == (7, (Frame("/srv/a.py", 3, "f"),))
