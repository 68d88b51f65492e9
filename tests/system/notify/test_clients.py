"""Programs of others that speak sd_notify and know nothing of us."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.reading import environment
from tests.support.waiting import eventually


def test_systemd_notify_opens_the_gate(tree: MakeTree, systemd_notify: str) -> None:
    """By default it waits until what it said was read (BARRIER=1), 5 s at most: a start that takes no 5 s proves it."""
    t = tree(f"""
        [workers.a]
        command = '''
            while [ ! -e go ]; do sleep 0.05; done
            {systemd_notify} --status='half way' && {systemd_notify} --ready --status='3 of 10' && touch said
            exec sleep 1000
        '''
        shell = true
        ready = {{ notify = true }}
        start_timeout = "8s"
        [workers.b]
        command = "sleep 1000"
        needs = {{ a = "ready" }}
    """)
    t.wait("b", state="waiting")
    (t.dir / "go").touch()
    t.wait("a", "b", timeout=4)
    t.wait_until("a", status="3 of 10", ready=True)
    eventually((t.dir / "said").exists, "systemd-notify has ended well")
    assert t.stop() == 0


def test_without_a_notify_probe_there_is_no_socket(tree: MakeTree) -> None:
    """As with systemd: programs behave otherwise where they see NOTIFY_SOCKET (podman waits for its container)."""
    t = tree("""
        [workers.a]
        command = "env > new; mv new said; exec sleep 1000"
        shell = true
        [workers.b]
        command = "env > new-b; mv new-b said-b; exec sleep 1000"
        shell = true
        ready = { notify = true }
        start_timeout = "30s"
        health = [{ notify = "90s" }, { notify = "1m" }]
    """)
    assert not [key for key in environment(t.dir / "said") if key.startswith(("NOTIFY_", "WATCHDOG_"))]
    words = environment(t.dir / "said-b")
    assert words["WATCHDOG_USEC"] == "60000000"
    assert "WATCHDOG_PID" not in words
    assert os.path.dirname(words["NOTIFY_SOCKET"]) == str(t.run_dir / f"u-{os.getuid()}")


def test_systemd_notify_keeps_a_watchdog_quiet(tree: MakeTree, systemd_notify: str) -> None:
    t = tree(f"""
        [workers.a]
        command = '''
            {systemd_notify} --ready
            while [ ! -e silent ]; do {systemd_notify} WATCHDOG=1; sleep 0.2; done
            exec sleep 1000
        '''
        shell = true
        ready = {{ notify = true }}
        health = {{ notify = "4s" }}
    """)
    t.wait("a")
    beats = t.ask("describe", names=["a"])[0]["said"]
    assert beats["silence"]
    pid = t.pids()["a"]
    with t.follow("ctl", "events", "-f", "--json") as events:
        (t.dir / "silent").touch()
        assert events.event("child_exited", "a")["exit"].startswith("hung: no WATCHDOG=1 for ")
    t.wait_until("a", pid=lambda now: now not in (None, pid), restarts=lambda restarts: restarts >= 1)


def test_a_worker_may_call_itself_hung(tree: MakeTree, systemd_notify: str) -> None:
    t = tree(f"""
        [workers.a]
        command = '''
            {systemd_notify} --ready
            while [ ! -e go ]; do sleep 0.05; done
            rm go
            {systemd_notify} WATCHDOG=trigger
            exec sleep 1000
        '''
        shell = true
        ready = {{ notify = true }}
    """)
    t.wait("a")
    with t.follow("ctl", "events", "-f", "--json") as events:
        (t.dir / "go").touch()
        assert "WATCHDOG=trigger" in events.event("child_exited", "a")["exit"]
    t.wait_until("a", restarts=1, state="running")


@pytest.mark.linux
def test_systemd_notify_names_the_main_process(tree: MakeTree, systemd_notify: str) -> None:
    """The leader goes; the process in the background is the worker: shown, stopped, and its end counts."""
    t = tree(f"""
        [workers.a]
        command = '''
            setsid sh -c 'trap "exit 4" USR1; while :; do sleep 0.05; done' &
            {systemd_notify} --ready --pid=$!
        '''
        shell = true
        ready = {{ notify = true }}
    """)
    t.wait("a")
    leader = t.events("child_started", "a")[0]["pid"]
    main = t.events("main_process", "a")[0]["pid"]
    assert t.pids()["a"] == main != leader
    eventually(lambda: not psutil.pid_exists(leader), "the leader has ended")
    assert t.child("a")["cpu"] is not None
    t.kill(t.root_pid())
    assert t.wait_until("a", pid=main)["incarnation"] == 1
    t.ctl("signal", "USR1", "a")
    again = t.wait_until("a", pid=lambda now: now not in (None, main), restarts=1, state="running")
    assert again["last_exit"]["reason"] == "exit status 4"
    assert t.stop() == 0


def test_sdnotify_of_pypi(tree: MakeTree) -> None:
    pytest.importorskip("sdnotify")
    t = tree(
        """
        [workers.a]
        command = ["${tree.python}", "-c", '''
        import sdnotify, time
        tree = sdnotify.SystemdNotifier(debug=True)
        tree.notify("READY=1")
        tree.notify("STATUS=from PyPI")
        time.sleep(1000)
        ''']
        ready = { notify = true }
    """.replace("${tree.python}", sys.executable)
    )
    t.wait("a")
    t.wait_until("a", status="from PyPI")


def test_redis(tree: MakeTree, redis: str) -> None:
    """It says that it is ready, and that it stops by itself (SHUTDOWN): no failure."""
    t = tree(f"""
        [workers.cache]
        command = ["{redis}", "--supervised", "systemd", "--port", "0", "--unixsocket", "redis.sock", "--save", ""]
        ready = {{ notify = true }}
        restart = "transient"
    """)
    t.wait("cache")
    t.wait_until("cache", status="Ready to accept connections")
    assert t.ask("describe", names=["cache"])[0]["said"]["stopping"] is False
    before = os.getcwd()
    os.chdir(t.dir)  # a short path
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("redis.sock")
            client.sendall(b"SHUTDOWN NOSAVE\r\n")
            t.wait("cache", state="completed")
    finally:
        os.chdir(before)
    assert [line["name"] for line in t.events("worker_stopping")] == ["cache"]
    assert t.child("cache")["last_exit"]["reason"] == "exit status 0"


def test_gunicorn(tree: MakeTree, gunicorn: str) -> None:
    t = tree(
        f"""
        [workers.web]
        command = ["{sys.executable}", "-m", "{gunicorn}", "--bind", "unix:web.sock", "--no-control-socket", "app:app"]
        ready = {{ notify = true }}
        stop_to = "leader"
    """,
        start=False,
    )
    (t.dir / "app.py").write_text("def app(environ, start):\n    start('200 OK', [])\n    return [b'ok']\n")
    t.start()
    t.wait("web")
    t.wait_until("web", status="Gunicorn arbiter booted")
    assert t.stop() == 0


def test_haproxy(tree: MakeTree) -> None:
    """A master that reloads: RELOADING=1 until READY=1."""
    haproxy = shutil.which("haproxy")
    if haproxy is None:
        pytest.skip("haproxy is not here: on Debian, apt-get install haproxy (which starts one for all)")
    t = tree(
        f"""
        [workers.proxy]
        command = ["{haproxy}", "-Ws", "-f", "haproxy.cfg"]
        ready = {{ notify = true }}
        stop_signal = "USR1"
        reload_signal = "USR2"
    """,
        start=False,
    )
    (t.dir / "haproxy.cfg").write_text(
        "defaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n"
        "frontend f\n bind unix@web.sock\n http-request return status 200\n"
    )
    t.start()
    t.wait("proxy")
    pid = t.pids()["proxy"]
    with t.follow("ctl", "events", "-f", "--json") as events:
        t.ctl("reload", "proxy")
        events.event("worker_reloading", "proxy")
        events.event("worker_reloaded", "proxy")
    assert t.wait_until("proxy", state="running")["pid"] == pid
    assert t.child("proxy")["restarts"] == 0
    assert t.stop(signal.SIGTERM) == 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_another_user_reaches_its_socket_and_no_other(tree: MakeTree, systemd_notify: str) -> None:
    t = tree(
        f"""
        [workers.a]
        command = '''
            {systemd_notify} --ready --status="$(id -un)" || exit 9
            exec sleep 1000
        '''
        shell = true
        user = "nobody"
        cwd = "/"
        ready = {{ notify = true }}
        [workers.b]
        command = "env > said; {systemd_notify} --ready; exec sleep 1000"
        shell = true
        ready = {{ notify = true }}
        """
    )
    t.wait("a", "b")
    t.wait_until("a", status="nobody")
    ours = environment(t.dir / "said")
    forged = subprocess.run(
        [systemd_notify, "--no-block", "--status=forged"],
        env={"NOTIFY_SOCKET": ours["NOTIFY_SOCKET"]},
        user="nobody",
        cwd="/",
        capture_output=True,
        check=False,
    )
    assert forged.returncode != 0
    assert t.child("b")["status"] is None
