"""What the shell's probes have the core do: hold what is unwell, and say what holds a start now."""

from __future__ import annotations

from supervisor_tree.core import events as ev
from supervisor_tree.core.spec import Restart, Strategy
from tests.unit.core.shell import TERM, Shell
from tests.unit.core.test_additions import running, tree, worker

HEALTH = ev.By(who="health", at=1.0, why="unhealthy: http://h/ answers 500")


def hold(shell: Shell, path: str) -> None:
    shell.tell(ev.KillRequested(path, shell.tree.nodes[path].incarnation, "unhealthy", HEALTH))


def test_what_is_unwell_is_stopped_and_held_until_it_is_released() -> None:
    shell = running(worker("a"), worker("b"), strategy=Strategy.REST_FOR_ONE)
    hold(shell, "root/a")
    assert list(shell.stopping) == ["root/a"]
    shell.exited("root/a", TERM)
    assert shell.statuses("root/a", "root/b") == ["held", "running"]  # it concerns nobody else
    assert shell.tree.nodes["root/a"].restarts == 0
    assert shell.tree.nodes["root/a"].by == HEALTH
    shell.request(ev.ReleaseRequested, "root/a")
    shell.settle()
    assert shell.status("root/a") == "running"


def test_whom_an_operator_holds_is_left_alone() -> None:
    shell = running(worker("a"))
    by = ev.By(who="somebody", at=1.0)
    shell.request(ev.HoldRequested, "root/a", by=by)
    hold(shell, "root/a")
    assert not shell.stopping
    assert shell.tree.nodes["root/a"].by == by
    assert shell.notes[-1].kind == "left_alone"


def test_a_stop_and_a_hold_of_one_that_is_stopping_already() -> None:
    shell = running(worker("a", restart=Restart.TEMPORARY), worker("b"))
    shell.request(ev.StopRequested, "root/b")
    hold(shell, "root/b")
    shell.exited("root/b", TERM)
    assert shell.status("root/b") == "stopped"
    hold(shell, "root/a")
    shell.exited("root/a", TERM)
    assert shell.status("root/a") == "held"


def test_the_reason_of_a_gate_changes_only_while_that_gate_is_shut() -> None:
    shell = tree(worker("a"))
    node = shell.tree.nodes["root/a"]
    shell.tell(ev.StartIgnored("root/a", node.incarnation, held="require env X: not set"))
    shell.spawning.clear()
    assert node.gate_for == "require env X: not set"
    shell.tell(ev.StartIgnored("root/a", node.incarnation, held="require disk"))
    assert (shell.status("root/a"), node.gate_for) == ("held", "require disk")
    assert [note.fields["reason"] for note in shell.notes if note.kind == "held"][-1] == "require disk"
    shell.request(ev.HoldRequested, "root/a", by=ev.By(who="somebody"))
    shell.tell(ev.StartIgnored("root/a", node.incarnation, held="require other"))
    assert node.gate_for != "require other"
    shell.request(ev.StopRequested, "root/a")
    shell.tell(ev.StartIgnored("root/a", node.incarnation, held="require other"))
    assert shell.status("root/a") == "stopped"
