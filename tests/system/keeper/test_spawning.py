"""What a child is started with; and what is said when it can't be."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor_tree.system import means
from tests.system.keeper.conftest import Brain, MakeBrain, eventually, lives

TELL = """
import json, os, resource, signal, sys
told = {
    "cwd": os.getcwd(), "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "nice": os.getpriority(0, 0),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "nproc": resource.getrlimit(resource.RLIMIT_NPROC), "umask": os.umask(0), "session": os.getsid(0) == os.getpid(),
    "stdin": os.readlink("/proc/self/fd/0"), "env": dict(os.environ), "argv": sys.argv,
    "blocked": open("/proc/self/status").read().split("SigBlk:")[1].split()[0],
    "ignored": open("/proc/self/status").read().split("SigIgn:")[1].split()[0],
}
open(os.environ["TOLD"] + ".new", "w").write(json.dumps(told) + "\\n")
os.rename(os.environ["TOLD"] + ".new", os.environ["TOLD"])
import time; time.sleep(1000)
"""


def tell(brain: Brain, name: str = "a", **more: object) -> dict:  # type: ignore[type-arg]
    env = {"TOLD": str(brain.folder / f"told-{name}"), **more.pop("env", {})}  # type: ignore[dict-item]
    brain.spawn(name, sys.executable, "-c", TELL, env=env, **more)
    return dict(json.loads(brain.await_file(f"told-{name}")))


def test_defaults(make: MakeBrain) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 900), hard))
    try:
        brain = make(
            environ={"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "9000000", "LISTEN_FDS": "1", "KEEP": "1"}
        ).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    told = tell(brain, env={"MORE": "x", "KEEP": None})
    assert told["nofile"] == [min(soft, 900), hard]
    assert told["cwd"] == str(brain.folder)
    assert told["session"] is True
    assert told["stdin"] == "/dev/null"
    assert told["blocked"].strip("0") == ""
    # What Python itself ignores (SIGPIPE, SIGXFSZ), and what the C library's posix_spawn does (32, 33).
    assert int(told["ignored"], 16) & ~(1 << 12 | 1 << 24 | 3 << 31) == 0
    env = told["env"]
    assert env["MORE"] == "x"
    assert env["SUPERVISOR_TREE_ID"] == brain.id
    assert not {"KEEP", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "SUPERVISOR_TREE_ROLE"} & set(env)


def test_inherit_some(make: MakeBrain) -> None:
    brain = make(environ={"ONE": "1", "TWO": "2"}).start()
    env = tell(brain, inherit=["ONE", "PATH"])["env"]
    assert env["ONE"] == "1"
    assert "TWO" not in env
    env = tell(brain, "b", inherit=False)["env"]
    assert not {"ONE", "PATH", "HOME"} & set(env)
    assert env["SUPERVISOR_TREE_ID"] == brain.id


def test_settings(brain: Brain, tmp_path: Path) -> None:
    folder = tmp_path / "a place"
    folder.mkdir()
    told = tell(brain, cwd=str(folder), umask=0o027, nice=5, limits={"nofile": 100, "core": [0, 0]})
    assert (told["cwd"], told["umask"], told["nice"]) == (str(folder), 0o027, 5)
    assert (told["nofile"], told["core"]) == ([100, 100], [0, 0])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    told = tell(brain, "b", limits={"nofile": [64, hard]})
    assert told["nofile"] == [64, hard]
    # The keeper itself is as it was.
    told = tell(brain, "c")
    assert (told["cwd"], told["nice"]) == (str(brain.folder), 0)
    assert told["nofile"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))


@pytest.mark.root
def test_user_and_group(brain: Brain) -> None:
    brain.folder.chmod(0o777)
    for folder in brain.folder.parents:
        if folder.stat().st_mode & 0o007 == 0:
            folder.chmod(folder.stat().st_mode | 0o005)
    script = "id -u > out.new; id -g >> out.new; id -G >> out.new; echo ok > /dev/stderr; mv out.new out; sleep 1000"
    brain.shell("a", script, user="daemon", env={"HOME": "/"})
    uid, gid, groups = brain.await_file("out").splitlines()
    import grp
    import pwd

    entry = pwd.getpwnam("daemon")
    assert (uid, gid) == (str(entry.pw_uid), str(entry.pw_gid))
    assert set(groups.split()) == {str(each) for each in os.getgrouplist("daemon", entry.pw_gid)}
    eventually(lambda: brain.log("a") == "ok\n", "a worker of another user may reopen its standard error")
    (brain.folder / "out").unlink()
    brain.shell("b", script, user="65534", group="daemon")
    uid, gid, _ = brain.await_file("out").splitlines()
    assert (uid, gid) == ("65534", str(grp.getgrnam("daemon").gr_gid))


@pytest.mark.parametrize(
    ("more", "number", "said"),
    [
        ({"argv": ["/no/such/program"]}, errno.ENOENT, "/no/such/program: no such program"),
        ({"argv": ["no-such-program"]}, errno.ENOENT, "no-such-program: no such program in its PATH"),
        ({"argv": ["/etc/passwd"]}, errno.EACCES, "/etc/passwd: not executable"),
        ({"argv": ["/etc"]}, errno.EACCES, "/etc: is a directory"),
        ({"argv": ["./no-shebang"]}, errno.ENOEXEC, "no script with a #! line"),
        ({"argv": ["./lost-interpreter"]}, errno.ENOENT, "its interpreter"),
        ({"argv": []}, errno.EINVAL, "the command is empty"),
        ({"argv": ["/bin/true", "a\0b"]}, errno.EINVAL, "null"),
        ({"argv": ["/bin/true"], "cwd": "/no/such/place"}, errno.ENOENT, "cwd /no/such/place: No such file"),
        ({"argv": ["/bin/true", "x" * 3_000_000]}, errno.E2BIG, "too long"),
        ({"argv": ["/bin/true"], "user": "nobody-x"}, errno.ENOENT, "user nobody-x: there is no such user"),
        ({"argv": ["/bin/true"], "group": "no-such"}, errno.ENOENT, "group no-such: there is no such group"),
        ({"argv": ["/bin/true"], "limits": {"no": 1}}, errno.EINVAL, "limits: this system knows no limit no"),
        ({"argv": ["/no/such"], "nice": 1}, errno.ENOENT, "/no/such: no such program"),
        ({"argv": ["no-such"], "nice": 1}, errno.ENOENT, "no-such: no such program in its PATH"),
    ],
)
def test_failures(brain: Brain, more: dict[str, Any], number: int, said: str) -> None:
    for name, text in (("no-shebang", "echo"), ("lost-interpreter", "#!/no/such/interpreter\n")):
        (brain.folder / name).write_text(text)
        (brain.folder / name).chmod(0o755)
    brain.commit(brain.spec("a", "x", **more))
    failed = brain.event("spawn_failed", name="a")
    assert said in failed["reason"]
    assert failed["errno"] == number
    assert brain.events == []
    # No descriptor is left open, and the next one starts.
    brain.spawn("b", "/bin/sleep", "1000")


def test_path_of_the_child_is_searched(brain: Brain, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mine"
    program.write_text("#!/bin/sh\necho found > found; exec /bin/sleep 1000\n")
    program.chmod(0o755)
    brain.spawn("a", "mine", env={"PATH": f"/nowhere:{tmp_path}/bin"})
    assert brain.await_file("found") == "found\n"


def test_stop_of_one_that_is_still_in_the_helper(brain: Brain) -> None:
    brain.commit(brain.spec("a", "/bin/sleep", "1000", nice=1), {"op": "stop", "name": "a", "inc": 1, "grace": 5})
    assert brain.event("exited", name="a")["asked"] is True


def descriptors(pid: int) -> dict[int, str]:
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}").split(":")[0]
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize("more", [{}, {"nice": 1}])
def test_descriptors_of_every_kind_of_child(brain: Brain, more: dict[str, Any]) -> None:
    for name in ("a", "b", "c"):
        brain.spawn(name, "/bin/sleep", "1000", **more)
    pid = brain.spawn("d", "/bin/sleep", "1000", **more)
    intended = {0: "/dev/null", 1: "pipe", 2: "pipe"}
    eventually(lambda: descriptors(pid) == intended, "the loader has closed its libraries")
    merged = brain.spec("m", "/bin/sleep", "1000", **more)
    merged["log"]["merge"] = True
    brain.commit(merged)
    pid = brain.event("spawned", name="m")["pid"]
    eventually(lambda: descriptors(pid) == intended, "the loader has closed its libraries")
    assert os.readlink(f"/proc/{pid}/fd/1") == os.readlink(f"/proc/{pid}/fd/2")
    root = descriptors(brain.root.pid)
    # Standard ones, the link, the stack pipe, the lock; of its own: the relay's socket and its watch of the keeper.
    lock = str(brain.state_dir / "lock")
    own = ["socket"] if means.name == "portable" else ["socket", "anon_inode"]
    assert sorted(root.values()) == sorted(["/dev/null", root[1], root[2], "socket", "pipe", lock, *own])


def test_nothing_that_start_inherited_is_passed_on(make: MakeBrain) -> None:
    read, write = os.pipe()
    brain = make().start(pass_fds=(read, write))
    pid = brain.spawn("a", "/bin/sleep", "1000")
    eventually(lambda: set(descriptors(pid)) == {0, 1, 2}, "the loader has closed its libraries")
    os.close(write)
    os.close(read)


def test_out_of_descriptors(make: MakeBrain) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    brain = make().start(preexec_fn=few)
    brain.commit(*[brain.spec(f"w{n}", "/bin/sleep", "1000") for n in range(30)])
    pids = {}
    failed = []
    for _ in range(30):
        brain.frame("event")
    for event in brain.events:
        if event["kind"] == "spawned":
            pids[event["name"]] = event["pid"]
        elif event["kind"] == "spawn_failed":
            failed.append(event)
    assert len(pids) >= 5
    assert failed
    assert all("out of file descriptors" in each["reason"] and each["errno"] == errno.EMFILE for each in failed)
    assert all(map(lives, pids.values()))
    name = next(iter(pids))
    brain.stop(name)
    brain.event("exited", name=name)
    assert brain.exit() == 0


def test_upward(make: MakeBrain, tmp_path: Path) -> None:
    service = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"supervisor-tree-test-{os.getpid()}-{id(service)}"
    service.bind("\0" + name)
    service.settimeout(10)
    with service:
        brain = make(environ={"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "400000"}, ping=0.3).start()
        brain.commit({"op": "ready"}, {"op": "status", "text": "3 workers"})
        said: set[str] = set()
        while not {"READY=1", "STATUS=3 workers", "WATCHDOG=1"} <= said:
            # The pongs between are what WATCHDOG=1 stands for.
            brain.frame("ping")
            service.setblocking(False)
            try:
                while True:
                    said.add(service.recv(1000).decode())
            except BlockingIOError:
                pass
        service.settimeout(10)
        os.kill(brain.keeper.pid, 15)
        brain.event("asked", signal="TERM")
        brain.exit()
        while service.recv(1000) != b"STOPPING=1":
            pass


def test_a_root_that_does_not_answer_gets_no_watchdog(make: MakeBrain) -> None:
    service = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"supervisor-tree-test-{os.getpid()}-{id(service)}"
    service.bind("\0" + name)
    with service:
        service.setblocking(False)

        def told() -> list[bytes]:
            found = []
            try:
                while True:
                    found.append(service.recv(100))
            except BlockingIOError:
                return found

        brain = make(environ={"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "200000"}, answer=100.0).start()
        told()  # as long as it started, it answered
        assert brain.root.quiet(0.8) == []  # pings unanswered
        assert told().count(b"WATCHDOG=1") <= 1


def test_the_environment_finds_the_tree(brain: Brain) -> None:
    pid = brain.spawn("a", "/bin/sleep", "1000")
    eventually(lambda: pid in [each.pid for each in means.processes_of(brain.id)], "its exec is done")
