"""Alerts really arrive: by mail, on the web, at a program, in files; late if they must, never twice, never lost."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTree
from tests.support.ports import closed_port
from tests.support.reading import json_lines
from tests.support.sinks import hanging_server, mail_server, text_of, web_server
from tests.support.tree import Tree
from tests.support.waiting import PATIENCE, eventually

pytest.importorskip("apprise")

FAILS = """
    [workers.{name}]
    command = "sh -c 'echo the disk is upside down; exit 3'"
    restart = "temporary"
"""
KEEPS = """
    [workers.good]
    command = "sleep 1000"
"""


def events(t: Tree) -> list[dict[str, Any]]:
    """What `alerts.command` of these tests was given, in order."""
    return json_lines(t.dir / "events.jsonl")


def got(t: Tree, count: int, timeout: float = PATIENCE) -> list[dict[str, Any]]:
    eventually(lambda: len(events(t)) >= count, lambda: f"{count} events; {len(events(t))} came", timeout)
    return events(t)


def queue(t: Tree) -> list[Path]:
    """Notices that wait, as the next life of the tree would find them."""
    folder = t.state_dir / "alerts"
    return [file for file in folder.glob("*.json") if file.name != "conditions.json"] if folder.exists() else []


def test_one_alert_goes_to_mail_web_program_and_file(tree: MakeTree) -> None:
    with mail_server() as mail, web_server() as web:
        t = tree(
            KEEPS
            + FAILS.format(name="migrate")
            + f"""
            [alerts]
            urls = ["{mail.url}", "{web.url}"]
            command = "cat >> events.jsonl"
            shell = true
            file = "logs/${{self.name}}_alert_${{run.time}}.txt"
            """
        )
        (message,) = mail.wait()
        (post,) = web.wait()
        (event,) = got(t, 1)
        eventually(lambda: len(t.events("alert_sent")) == 3)
        eventually(lambda: queue(t) == [], "the queue is empty")
    assert message["Subject"] == "[tree] ERROR: migrate has failed: exit status 3"
    text = text_of(message)
    # What, since when, what was tried, its last words, and where to look: for somebody who is woken by it.
    assert "ERROR    migrate has failed: exit status 3" in text
    assert re.search(r"since    20..-..-..T..:..:..\....Z \(.* ago\)", text)
    assert re.search(r"what was tried:\n(?:.*\n)?.*migrate was started.*\n.*migrate ended: exit status 3", text)
    assert re.search(r"last lines of its output:\n.*the disk is upside down", text)
    assert f"supervisor-tree ctl why migrate -c {t.file}" in text
    assert f"supervisor-tree logs -n 100 migrate -c {t.file}" in text
    assert post["title"] == message["Subject"]
    assert post["type"] == "failure"
    assert "the disk is upside down" in post["message"]
    assert event["event"] == "alert_raised"
    assert (event["name"], event["severity"], event["tree"]) == ("migrate", "error", "tree")
    assert [each["kind"] for each in event["alerts"]] == ["failed"]
    assert "the disk is upside down" in event["text"]
    (file,) = (t.dir / "logs").glob("*.txt")
    assert re.fullmatch(r"migrate_alert_\d{8}_\d{6}\.txt", file.name)
    assert "the disk is upside down" in file.read_text()
    (raised,) = t.events("alert_raised")
    assert (raised["name"], raised["kind"], raised["severity"]) == ("migrate", "failed", "error")
    # The commands that the text names are good ones.
    assert "migrate has failed" in t.cli("ctl", "why", "migrate", "-c", str(t.file))
    assert "upside down" in t.cli("logs", "-n", "100", "migrate", "-c", str(t.file))


def test_no_password_of_a_url_is_shown_anywhere(tree: MakeTree) -> None:
    with closed_port() as port:
        t = tree(
            FAILS.format(name="migrate")
            + f"""
            [alerts]
            urls = ["json://user:geheim@127.0.0.1:{port}/token-geheim"]
            """
        )
        eventually(lambda: t.events("alert_not_sent"))
        t.stop()
    assert "geheim" not in json.dumps(t.journal())
    kept = [file.read_text(errors="replace") for file in (t.state_dir / "alerts").iterdir()]
    assert kept
    assert "geheim" not in "".join(kept)


def test_a_burst_is_one_message_that_lists_them(tree: MakeTree) -> None:
    with mail_server() as mail:
        t = tree(
            KEEPS
            + f"""
            [workers.many]
            instances = 60
            command = "sh -c 'read line < gate; exit 1'"
            restart = "temporary"
            [alerts]
            urls = ["{mail.url}"]
            """,
            start=False,
        )
        os.mkfifo(t.dir / "gate")
        gate = os.open(t.dir / "gate", os.O_RDWR)
        try:
            t.start()
            t.wait(*(f"many@{number}" for number in range(1, 61)))
            os.write(gate, b"\n" * 60)  # one line lets one of them go
            eventually(lambda: len(t.events("alert_raised")) == 60, "60 failures")
        finally:
            os.close(gate)
        eventually(lambda: sum(line["alerts"] for line in t.events("alert_sent")) == 60, "all of them are told")
        text = "".join(text_of(message) for message in mail.messages)
        # One, or on a machine so slow that sixty ends take longer than the second for which is waited, a few.
        assert len(mail.messages) <= 3
        assert all(f"many@{number} has failed" in text for number in range(1, 61))
        assert "60 × failed" in mail.messages[0]["Subject"] or len(mail.messages) > 1


def test_a_dead_mail_server_gets_all_of_it_when_it_is_back_and_holds_up_nobody(tree: MakeTree) -> None:
    with closed_port() as port, web_server() as web:
        t = tree(
            KEEPS
            + FAILS.format(name="one")
            + FAILS.format(name="two").replace("restart", "autostart = false\n    restart")
            + f"""
            [alerts]
            urls = ["mailto://127.0.0.1:{port}/?from=a@example.com&to=b@example.com&mode=insecure", "{web.url}"]
            """
        )
        web.wait(1)
        eventually(lambda: t.events("alert_not_sent"), "the failure is said")
        t.ctl("start", "two")
        web.wait(2)  # nothing waits for the mail
        with mail_server(port) as mail:
            mail.wait(1, timeout=60)
            eventually(lambda: queue(t) == [], "the queue is empty", 60)
        # As one message, or as two, where one was on its way when the other came up; each of them once.
        text = "".join(text_of(message) for message in mail.messages)
        assert text.count("ERROR    one has failed") == text.count("ERROR    two has failed") == 1
        assert len(web.posts) == 2
    said = t.events("alert_not_sent")
    assert len(said) == 1  # once, not at each attempt
    assert said[0]["target"] == "mailto:// (url 1)"
    assert "127.0.0.1" in said[0]["reason"]
    late = [line for line in t.events("alert_sent") if line["target"].startswith("mailto")]
    assert late[0]["attempts"] > 1


def test_a_hanging_sink_holds_up_neither_the_tree_nor_the_others(tree: MakeTree) -> None:
    with hanging_server() as port, web_server() as web:
        t = tree(
            KEEPS
            + FAILS.format(name="migrate")
            + f"""
            [alerts]
            urls = ["mailto://127.0.0.1:{port}/?from=a@example.com&to=b@example.com&mode=insecure", "{web.url}"]
            command = "sh -c 'sleep 1000'"
            """
        )
        root = t.root_pid()
        web.wait(1)
        (sent,) = eventually(lambda: t.events("alert_sent"))
        assert (sent["name"], sent["target"]) == ("migrate", "json:// (url 2)")
        t.ctl("restart", "good")  # and nobody waits for anything
        assert t.root_pid() == root
        eventually(lambda: len(queue(t)) == 1, "it is kept for the other two")
        assert t.stop() == 0
    assert len(queue(t)) == 1  # it is not lost with the tree


def test_a_web_server_that_refuses_is_asked_again(tree: MakeTree) -> None:
    with web_server() as web:
        web.status = 503
        t = tree(FAILS.format(name="migrate") + f'[alerts]\nurls = ["{web.url}"]\n')
        eventually(lambda: t.events("alert_not_sent"), "it is refused")
        assert "503" in t.events("alert_not_sent")[0]["reason"]
        web.status = 200
        web.wait(1, timeout=60)
        eventually(lambda: t.events("alert_sent"))
        assert len(web.posts) == 1


def test_the_queue_outlives_the_root_and_the_tree(tree: MakeTree) -> None:
    t = tree(
        KEEPS
        + FAILS.format(name="migrate")
        + """
        [alerts]
        command = "test -e open && cat >> events.jsonl"
        shell = true
        """
    )
    eventually(lambda: t.events("alert_not_sent"), "the program refuses")
    old = t.root_pid()
    t.kill(old)
    t.wait_new_root(old)
    eventually(lambda: len(t.events("alert_not_sent")) >= 2, "the new root tries it, too")
    assert t.stop() == 0
    assert events(t) == []
    t.write(KEEPS + '[alerts]\ncommand = "test -e open && cat >> events.jsonl"\nshell = true\n')
    (t.dir / "open").touch()
    t.start()
    (event,) = got(t, 1)
    assert event["title"] == "[tree] ERROR: migrate has failed: exit status 3"
    assert "the disk is upside down" in event["text"]  # what it said then, not what can be read now
    eventually(lambda: queue(t) == [])


def test_nothing_is_sent_twice_because_the_root_dies_while_it_is_sent(tree: MakeTree) -> None:
    t = tree(
        KEEPS
        + FAILS.format(name="migrate")
        + """
        [alerts]
        command = "cat >> events.jsonl; touch begun; until test -e go; do sleep 0.02; done"
        shell = true
        """
    )
    eventually((t.dir / "begun").exists, "it is being sent")
    old = t.root_pid()
    t.kill(old)
    t.wait_new_root(old)
    (t.dir / "go").touch()
    eventually(lambda: t.events("alert_sent"), "the new root learns that it was sent")
    eventually(lambda: queue(t) == [])
    assert len(events(t)) == 1


def test_each_is_told_exactly_once_while_roots_die(tree: MakeTree) -> None:
    t = tree(
        KEEPS
        + """
        [workers.many]
        instances = 8
        command = "sh -c 'exit 1'"
        restart = "temporary"
        autostart = false
        [alerts]
        command = "sleep 0.1; cat >> events.jsonl"
        shell = true
        """
    )
    for number in range(1, 9):
        t.ctl("start", f"many@{number}")
        if number % 3 == 0:
            old = t.root_pid()
            t.kill(old)
            t.wait_new_root(old)

    def names() -> list[str]:
        return sorted(each["name"] for event in events(t) for each in event["alerts"] if each["kind"] == "failed")

    eventually(lambda: len(set(names())) == 8, lambda: f"all of them are told; {names()}", 30)
    eventually(lambda: queue(t) == [], "nobody waits for anything", 20)
    assert names() == [f"many@{number}" for number in range(1, 9)]
    assert t.events("internal_error") == []


def test_a_disk_that_takes_nothing_keeps_nobody_from_being_told(tree: MakeTree) -> None:
    t = tree(
        FAILS.format(name="migrate")
        + """
        [alerts]
        command = "cat >> events.jsonl"
        shell = true
        """,
        start=False,
    )
    t.state_dir.mkdir()
    (t.state_dir / "alerts").write_text("no folder can be made here\n")
    t.start()
    got(t, 1)
    eventually(lambda: t.events("alert_sent"))
    (said,) = eventually(lambda: t.events("state_not_kept"), "that it can't be kept is said")
    assert said["what"] == "alerts"
    (t.state_dir / "alerts").unlink()
    eventually(lambda: t.events("state_kept_again"), "it is written when it can be", 30)


def test_a_slip_in_a_url_is_known_at_the_start_and_told_by_the_others(tree: MakeTree) -> None:
    with web_server() as web:
        t = tree(KEEPS + f'[alerts]\nurls = ["nosuch://user:geheim@127.0.0.1", "{web.url}"]\n')
        (line,) = eventually(lambda: t.events("alert_target_unknown"))
        assert line["target"] == "nosuch:// (url 1)"
        assert "Apprise knows no such address; mend alerts.urls" in web.wait(1)[0]["title"]
    t.stop()
    kept = [file.read_text(errors="replace") for file in (t.state_dir / "alerts").iterdir()]
    assert "geheim" not in "".join(kept)


def test_targets_come_and_go_with_a_reload(tree: MakeTree) -> None:
    with web_server() as web:
        text = KEEPS + FAILS.format(name="migrate")
        t = tree(text + '[alerts]\ncommand = "false"\n')
        eventually(lambda: t.events("alert_not_sent"))
        t.write(text + f'[alerts]\nurls = ["{web.url}"]\n')
        t.ctl("reload")
        gone = eventually(lambda: [line for line in t.events("alert_not_sent") if line["target"] == "command"])
        assert gone[0]["reason"] == "it is no longer configured"
        eventually(lambda: queue(t) == [])
        t.ctl("start", "migrate")  # fails again
        eventually(lambda: t.events("failed", "migrate")[1:])
        t.ctl("stop", "migrate")
        web.wait(1)
        assert "migrate" in web.posts[0]["title"]
        assert all("command" not in line["target"] for line in t.events("alert_sent"))


def test_a_queue_file_that_is_broken_is_put_aside_and_said(tree: MakeTree) -> None:
    t = tree(KEEPS + '[alerts]\ncommand = "true"\n', start=False)
    folder = t.state_dir / "alerts"
    folder.mkdir(parents=True)
    (folder / "20261122T000000-1.json").write_text('{"id": "20261122T000')
    (folder / "conditions.json").write_text("[{}]")
    t.start()
    aside = t.events("file_put_aside")
    assert sorted(Path(line["path"]).name for line in aside) == ["20261122T000000-1.json", "conditions.json"]
    assert all(Path(line["aside"]).exists() for line in aside)
    assert "what it held is unknown" in t.ctl("events")


def test_a_tree_that_gives_up_tells_before_it_ends(tree: MakeTree) -> None:
    t = tree(
        """
        [tree]
        intensity = 2
        on_give_up = "exit"
        [workers.bad]
        command = "sh -c 'echo no money left; exit 4'"
        backoff = "10ms"
        [alerts]
        command = "cat >> events.jsonl"
        shell = true
        """,
        start=False,
    )
    t.start(wait=False)
    assert t.wait_end() == 1
    told = [event for event in events(t) if event["severity"] == "critical"]
    assert told
    assert any(each["kind"] == "tree_ended" for event in told for each in event["alerts"])
    assert any("no money left" in event["text"] for event in told)
    assert queue(t) == []


def test_urls_without_apprise_are_refused_with_the_mend(tree: MakeTree) -> None:
    t = tree(KEEPS + '[alerts]\nurls = ["json://127.0.0.1:1/x"]\n', start=False)
    blocked = t.dir / "blocked"
    blocked.mkdir()
    # A finder before all others that does not know Apprise.
    (blocked / "sitecustomize.py").write_text(
        "import importlib.util as u, sys\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'apprise' else real(name, *rest)\n"
    )
    t.environ["PYTHONPATH"] = f"{blocked}:{t.environ['PYTHONPATH']}"
    t.cli("check", status=2)
    t.start(wait=False)
    assert t.wait_end() == 2
    assert "tree.toml:5: alerts.urls: needs the library apprise" in t.output()
    assert "pip install 'supervisor-tree[notify]'" in t.output()
