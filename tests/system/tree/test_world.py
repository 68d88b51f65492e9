"""What a worker finds around it: folder, environment, user, limits, descriptors, signals, session."""

from __future__ import annotations

import json
import os
import pwd
import signal
from typing import Any

import psutil
import pytest

from tests.conftest import MakeTree
from tests.support.tree import Tree
from tests.support.waiting import eventually

LOOK = """
import grp, json, os, resource, signal, stat, sys
caught = [line for line in open("/proc/self/status") if line[:6] in ("SigBlk", "SigIgn", "SigCgt")]
print(json.dumps({
    "cwd": os.getcwd(),
    "env": dict(os.environ),
    "ids": [os.getuid(), os.geteuid(), os.getgid(), sorted(os.getgroups())],
    "umask": os.umask(0),
    "nice": os.nice(0),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "fds": {int(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")},
    "leader": [os.getpid() == os.getsid(0), os.getpid() == os.getpgrp()],
    "signals": {line.split()[0]: int(line.split()[1], 16) for line in caught},
    "argv": sys.argv[1:],
}), flush=True)
signal.pause()
"""


def seen(t: Tree, name: str) -> dict[str, Any]:
    """What worker ``name`` has said of its world."""
    eventually(lambda: "\n" in t.log(name), f"{name} tells, and all of it")
    found: dict[str, Any] = json.loads(t.log(name).partition("\n")[0])
    return found


def look(t: Tree) -> None:
    (t.dir / "look.py").write_text(LOOK)


@pytest.mark.linux
def test_the_plain_one(tree: MakeTree) -> None:
    t = tree(
        """
        [tree]
        env_file = "tree.env"
        [defaults.env]
        D = "defaults"
        E = "defaults"
        [workers.a]
        command = ["${tree.python}", "-S", "look.py", "an argument", "${FROM_FILE}", "$$HOME", "${NO:-none}"]
        env_file = ["?missing.env", "a.env"]
        env = { E = "own", NUMBER = 7, HOME = false, SECRET = { file = "secret" }, SAID = { command = "echo said" } }
        [workers.bare]
        command = ["${tree.python}", "-S", "look.py"]
        inherit_env = ["PATH", "KEPT"]
        cwd = "sub"
        """,
        start=False,
        environ={
            "KEPT": "kept",
            "DROPPED": "dropped",
            "NOTIFY_SOCKET": "/nowhere",
            "WATCHDOG_USEC": "5",
            "LISTEN_FDS": "3",
        },
    )
    look(t)
    (t.dir / "tree.env").write_text("FROM_FILE='of the tree'\nF=tree\n")
    (t.dir / "a.env").write_text("F=own file\nexport E=own file\n# nothing\n")
    (t.dir / "secret").write_text("s3cret\n")
    (t.dir / "sub").mkdir()
    (t.dir / "sub" / "look.py").write_text(LOOK)
    t.start()
    a, bare = seen(t, "a"), seen(t, "bare")
    assert a["argv"] == ["an argument", "of the tree", "$HOME", "none"]
    env = a["env"]
    assert {key: env.get(key) for key in ("D", "E", "F", "NUMBER", "SECRET", "SAID", "HOME", "KEPT")} == {
        "D": "defaults",
        "E": "own",
        "F": "own file",
        "NUMBER": "7",
        "SECRET": "s3cret",
        "SAID": "said",
        "HOME": None,
        "KEPT": "kept",
    }
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "SUPERVISOR_TREE_ROLE"} & set(env)
    assert env["SUPERVISOR_TREE_NAME"] == "a"
    assert env["SUPERVISOR_TREE_INCARNATION"] == "1"
    assert env["SUPERVISOR_TREE_ID"] == t.run_json()["id"]
    assert len(env["SUPERVISOR_TREE_TOKEN"]) == 32
    assert env["SUPERVISOR_TREE_CONFIG"] == str(t.file)
    assert "DROPPED" not in bare["env"]
    assert bare["env"]["KEPT"] == "kept"
    assert (a["cwd"], bare["cwd"]) == (str(t.dir), str(t.dir / "sub"))
    assert a["leader"] == [True, True]
    assert a["signals"]["SigBlk:"] == 0
    ignored = {number for number in range(1, 65) if a["signals"]["SigIgn:"] >> number - 1 & 1}
    assert ignored <= {signal.SIGPIPE, signal.SIGXFSZ, 32, 33}  # CPython's own two, and those of glibc's posix_spawn
    assert set(a["fds"]) == {"0", "1", "2"}
    assert a["fds"]["0"] == "/dev/null"
    assert a["fds"]["1"].startswith("pipe:")
    assert a["fds"]["1"] != a["fds"]["2"]
    assert a["nofile"] == list(psutil.Process(os.getpid()).rlimit(psutil.RLIMIT_NOFILE))
    assert a["ids"][:3] == [os.getuid(), os.geteuid(), os.getgid()]
    # Secrets are shown nowhere.
    assert "s3cret" not in json.dumps(t.ask("describe", names=["a"])) + json.dumps(t.status())
    assert "s3cret" not in (t.state_dir / "journal" / "00000001.jsonl").read_text()


@pytest.mark.linux
@pytest.mark.root
def test_another_user_and_limits(tree: MakeTree) -> None:
    if os.getuid() != 0:
        pytest.skip("needs to be root to become another user")
    t = tree(
        """
        [workers.a]
        command = "id -u; id -g; umask; ulimit -Sn; ulimit -Hn; ulimit -c; nice; echo $HOME $USER; exec sleep 1000"
        shell = true
        user = "daemon"
        umask = "027"
        nice = 5
        limits = { nofile = [300, 400], core = 0 }
        cwd = "/"
        """,
    )
    who = pwd.getpwnam("daemon")
    t.wait("a")  # it may tell before the root knows that it runs
    eventually(lambda: t.log("a").count("\n") == 8, "it tells")
    assert t.log("a").splitlines() == [
        str(who.pw_uid),
        str(who.pw_gid),
        "0027",
        "300",
        "400",
        "0",
        str(os.nice(0) + 5),
        f"{who.pw_dir} daemon",
    ]
    pid = t.pids()["a"]
    root = t.root_pid()
    t.kill(root)
    t.wait_new_root(root)
    assert t.pids()["a"] == pid
    assert t.ask("stop", names=["a"])["state"] == "done"


def test_how_it_is_asked_to_stop(tree: MakeTree) -> None:
    t = tree(
        '''
        [defaults]
        shutdown = "10s"
        [workers.interrupted]
        command = "trap 'echo INT; exit 5' INT; echo up; while :; do sleep 0.02; done"
        shell = true
        stop_signal = "INT"
        [workers.by-command]
        command = "sleep 1000"
        stop_command = "sh -c 'echo $SUPERVISOR_TREE_NAME > stopped; kill -USR1 -$(cat pid)'"
        env = { X = "1" }
        [workers.brutal]
        command = "trap 'echo asked' TERM; echo up; while :; do sleep 0.02; done"
        shell = true
        shutdown = "brutal_kill"
        [workers.leader-only]
        command = """
            sh -c 'trap "echo child asked" TERM; sleep 0.5; echo child done' &
            trap 'wait; exit 0' TERM; echo up; wait; wait
        """
        shell = true
        stop_to = "leader"
        '''
    )
    t.wait("interrupted", "by-command", "brutal", "leader-only")
    for name in ("interrupted", "brutal", "leader-only"):
        eventually(lambda name=name: "up" in t.log(name), f"{name} is up")  # type: ignore[misc]
    (t.dir / "pid").write_text(str(t.pids()["by-command"]))
    assert t.ask("stop", all=True)["state"] == "done"
    children = t.children()
    assert children["interrupted"]["last_exit"]["code"] == 5
    assert children["by-command"]["last_exit"]["signal"] == signal.SIGUSR1
    assert (t.dir / "stopped").read_text() == "by-command\n"
    assert children["brutal"]["last_exit"]["signal"] == signal.SIGKILL
    eventually(lambda: "child done" in t.log("leader-only"), "its child was left its time")
    assert "child asked" not in t.log("leader-only")
    assert "asked" not in t.log("brutal")
