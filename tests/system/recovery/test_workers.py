"""Rules on workers: their own log lines, their health, their exits, and giving up on them."""

from __future__ import annotations

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually

# Says a line for each that is put into `say`, and goes on for ever: a daemon whose log we write.
TALKER = """
import os, sys, time
print("begins", flush=True)
at = 0
while True:
    if os.path.exists("say"):
        with open("say") as file:
            lines = file.read().splitlines()
        for line in lines[at:]:
            print(line, file=sys.stderr, flush=True)
        at = len(lines)
    time.sleep(0.02)
"""

TALKS = """
[workers.talker]
command = "${tree.python} -u talker.py"
ready = { output = "begins" }
recover = ["errors"]
[workers.target]
command = "sleep 1000"
"""


def make(tree: MakeTree, text: str) -> Tree:
    t = tree(text, start=False)
    (t.dir / "talker.py").write_text(TALKER)
    return t.start()


def say(t: Tree, *lines: str) -> None:
    with open(t.dir / "say", "a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def heard(t: Tree, line: str) -> None:
    eventually(lambda: line in t.log("talker"), f"{line} is in the log")


def recovered(t: Tree, times: int = 1) -> None:
    eventually(lambda: len(t.events("recovery_ended")) >= times, lambda: f"{times} recoveries; {t.events()[-8:]}")
    assert len(t.events("recovery_triggered")) == times


def test_lines_of_a_running_daemon_fire_when_there_are_enough_of_them(tree: MakeTree) -> None:
    rule = """
[recover.errors]
when = "output"
match = { errors = "connection_error|timeout", quota = "quota" }
ignore_case = true
count = 3
within = "15m"
steps = [{ command = "touch quota-spent", if = "quota" }, { restart = "target", if = "errors" }]
log = { file = "logs/errors.log" }
"""
    t = make(tree, TALKS + rule)
    t.wait("target", "talker")
    before = t.child("target")["incarnation"]
    say(t, "Connection_Error", "all is well", "quota", "read TIMEOUT", "done so far")
    heard(t, "done so far")
    say(t, "connection_error again")
    recovered(t)
    assert t.child("target")["incarnation"] == before + 1
    assert t.child("target")["restarts"] == 0
    assert not (t.dir / "quota-spent").exists()
    (triggered,) = t.events("recovery_triggered")
    assert (triggered["name"], triggered["why"], triggered["matched"]) == ("talker", "output", ["errors"])
    log = t.dir / "logs" / "errors.log"
    eventually(lambda: log.exists() and "Recovery triggered for talker (output)" in log.read_text(), "its log has it")
    assert "recovery errors of talker was triggered: output, matched errors" in t.ctl("why", "talker")


def test_what_was_answered_counts_no_more_and_a_cooldown_is_said_once(tree: MakeTree) -> None:
    rule = """
[recover.errors]
when = "output"
match = { errors = "bad" }
count = 2
within = "1h"
cooldown = "4s"
steps = [{ command = "sh -c 'echo x >> healed'" }]
"""
    t = make(tree, TALKS + rule)
    t.wait("talker")
    say(t, "bad 1", "bad 2")
    recovered(t)
    say(t, "bad 3", "bad 4", "bad 5", "said")  # within the cooldown
    heard(t, "said")
    eventually(lambda: t.events("recovery_suppressed"), "it is suppressed")

    def again() -> bool:
        say(t, "bad")
        return len(t.events("recovery_ended")) >= 2

    eventually(again, "after the cooldown it is answered again")
    kinds = [line["event"] for line in t.events() if str(line["event"]).startswith("recovery_")]
    assert "recovery_suppressed recovery_suppressed" not in " ".join(kinds)  # once for each answer
    assert (t.dir / "healed").read_text().startswith("x\nx\n")


def test_counted_lines_survive_the_root(tree: MakeTree) -> None:
    rule = """
[recover.errors]
when = "output"
match = { errors = "bad" }
count = 3
within = "1h"
steps = [{ command = "touch healed" }]
"""
    t = make(tree, TALKS + rule)
    t.wait("talker")
    say(t, "bad 1")
    heard(t, "bad 1")
    root = t.root_pid()
    t.kill(root)
    say(t, "bad 2")  # while there is none
    t.wait_new_root(root)
    heard(t, "bad 2")
    assert t.events("recovery_triggered") == []  # none was counted twice
    say(t, "bad 3")
    recovered(t)
    assert (t.dir / "healed").exists()


def test_a_rule_that_is_changed_looks_at_no_line_of_before(tree: MakeTree) -> None:
    rule = '[recover.errors]\nwhen = "output"\nmatch = { e = "bad" }\nsteps = [{ command = "touch healed" }]\n'
    t = make(tree, TALKS + rule)
    t.wait("talker")
    say(t, "worse 1", "bad now")
    recovered(t)
    t.write(TALKS + rule.replace("bad", "worse").replace("[recover.errors]", "[recover.errors]\ncooldown = 0"))
    t.ctl("reload")
    say(t, "worse 2")
    recovered(t, 2)
    assert [each["rule"] for each in t.events("recovery_triggered")] == ["errors", "errors"]


def test_exits_outcomes_and_giving_up(tree: MakeTree) -> None:
    cases = {
        "exit": ("echo UW has failed; exit 3", "", "exit: exit status 3"),
        "no quota": ("exit 4", 'outcome = { 4 = "no quota" }', "outcome no quota"),
        "failed": ("exit 5", 'restart = "temporary"', "failed: exit status 5"),
    }
    text = ""
    for when, (command, more, _) in cases.items():
        name = when.replace(" ", "-")
        text += f"""
[workers.{name}]
command = ["sh", "-c", "{command}"]
backoff = "1h"
recover = ["{name}"]
{more}
[recover.{name}]
when = "{when}"
match = {{ uw = "UW.*failed" }}
steps = [{{ command = "touch {name}-healed" }}, {{ command = "touch {name}-uw", if = "uw" }}]
"""
    t = make(tree, text)
    recovered(t, 3)
    assert {each["why"] for each in t.events("recovery_triggered")} == {why for _, _, why in cases.values()}
    made = {path.name for path in t.dir.iterdir() if path.name.endswith(("-healed", "-uw"))}
    assert made == {"exit-healed", "exit-uw", "no-quota-healed", "failed-healed"}


def test_a_worker_that_is_not_healthy(tree: MakeTree) -> None:
    text = """
[workers.w]
command = "sleep 1000"
health = { file = "alive", every = "50ms", failures = 2, then = "restart" }
backoff = "1h"
recover = ["r"]
[recover.r]
when = ["unhealthy", "exit", "failed"]
cooldown = "1h"
steps = [{ command = "touch healed" }]
"""
    t = tree(text, start=False)
    (t.dir / "alive").touch()
    t.start()
    t.wait("w")
    (t.dir / "alive").unlink()
    recovered(t)
    assert t.events("recovery_triggered")[0]["why"].startswith("unhealthy")
    assert (t.dir / "healed").exists()
    t.wait_until("w", state="backoff")  # the kill and the exit that followed are the same failure
    assert len(t.events("recovery_triggered")) == 1
    assert t.events("recovery_suppressed") == []


def test_a_rule_without_bounds_does_not_restart_a_crashing_worker_for_ever(tree: MakeTree) -> None:
    text = """
[workers.w]
command = "sh -c 'echo x >> starts; exit 1'"
backoff = "1h"
recover = ["r"]
[recover.r]
when = "exit"
steps = [{ restart = "w" }]
"""
    t = tree(text)
    eventually(lambda: t.events("recovery_suppressed"), "its second crash is not answered")
    t.wait_until("w", state="backoff")
    assert (t.dir / "starts").read_text() == "x\nx\n"
    assert "cooldown: " in t.events("recovery_suppressed")[0]["reason"]


def test_a_stop_by_an_operator_is_no_exit_to_recover_from(tree: MakeTree) -> None:
    text = """
[workers.w]
command = "sleep 1000"
recover = ["r"]
[recover.r]
when = ["exit", "failed", "unhealthy"]
steps = [{ restart = "w" }]
"""
    t = tree(text)
    t.ctl("restart", "w")
    t.ctl("stop", "w")
    assert t.child("w")["state"] == "stopped"
    assert t.events("recovery_triggered") == []
