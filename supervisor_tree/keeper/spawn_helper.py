"""Between the keeper's spawn and the program, where user, group, nice or hard limits are asked for.

Run as ``python -I -S spawn_helper.py FD WANTED ARGV…``: FD is closed by the exec that follows; a failure is
written to it as JSON ``{"errno", "reason"}``. WANTED is JSON; nothing secret is in it, the environment is the program's
own already.
"""

import errno
import json
import os
import resource
import signal
import sys


class Failure(Exception):
    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.errno = number


def main() -> None:
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    argv = sys.argv[3:]
    said: dict[str, object] = {}
    try:
        wanted = json.loads(sys.argv[2])
        become(wanted)
        for path in wanted["reads"]:
            if not os.access(path, os.R_OK):
                raise Failure(errno.EACCES, f"{path}: not readable for this user ({hindrance(path)})")
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        execute(argv)
    except Failure as failure:
        said = {"errno": failure.errno, "reason": str(failure)}
    except OSError as error:
        said = {"errno": error.errno, "reason": f"{argv[0]}: {error.strerror}"}
    os.write(report, json.dumps(said).encode())
    os._exit(127)


def become(wanted: dict) -> None:  # type: ignore[type-arg]
    for key in wanted["drop"]:
        os.environ.pop(key, None)
    limits = {"nofile": wanted["nofile"], **(wanted["limits"] or {})}
    for name, value in limits.items():
        kind = getattr(resource, "RLIMIT_" + name.upper(), None)
        if kind is None:
            raise Failure(errno.EINVAL, f"limits: this system knows no limit {name}")
        soft, hard = value if isinstance(value, list) else (value, value)
        try:
            resource.setrlimit(kind, (soft, hard))
        except (OSError, ValueError) as error:
            now = resource.getrlimit(kind)[1]
            raise Failure(
                errno.EPERM, f"limits: {name} = {value} is refused ({error}); the hard limit of `start` is {now}"
            ) from None
    if wanted["nice"] is not None:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, wanted["nice"])
        except OSError as error:
            raise Failure(error.errno or 0, f"nice = {wanted['nice']}: {error.strerror}") from None
    if wanted["user"] is not None or wanted["group"] is not None:
        switch(wanted["user"], wanted["group"])


def switch(user: "str | int | None", group: "str | int | None") -> None:
    import grp
    import pwd

    uid = name = gid = None
    if user is not None:
        try:
            entry = pwd.getpwuid(int(user)) if str(user).isdigit() else pwd.getpwnam(str(user))
        except KeyError:
            if not str(user).isdigit():
                raise Failure(errno.ENOENT, f"user {user}: there is no such user") from None
            uid = gid = int(user)
        else:
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
    if group is not None:
        try:
            gid = grp.getgrnam(str(group)).gr_gid
        except KeyError:
            if not str(group).isdigit():
                raise Failure(errno.ENOENT, f"group {group}: there is no such group") from None
            gid = int(group)
    assert gid is not None
    if (uid is None or uid == os.geteuid()) and gid == os.getegid():
        return
    try:
        if os.geteuid() == 0:
            if uid is not None:
                # The pipes were made by the keeper: their new owner may open /dev/stdout again.
                for fd in (1, 2):
                    os.fchown(fd, uid, gid)
            if name is not None:
                os.initgroups(name, gid)
            else:
                os.setgroups([gid])
        os.setgid(gid)
        if uid is not None:
            os.setuid(uid)
    except PermissionError:
        what = f"user {user}" if user is not None else f"group {group}"
        raise Failure(errno.EPERM, f"{what}: not permitted; run `start` as root or as that user") from None


def execute(argv: "list[str]") -> None:
    """As `spawn.find_program`, but with the rights of the new user."""
    env = dict(os.environ)
    if "/" in argv[0]:
        explain(argv[0])
        os.execve(argv[0], argv, env)
    path = env.get("PATH", os.defpath)
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", argv[0])
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            os.execve(candidate, argv, env)
    raise Failure(errno.ENOENT, f"{argv[0]}: no such program in its PATH")


def explain(path: str) -> None:
    try:
        os.stat(path)
    except PermissionError:
        pass
    except OSError:
        raise Failure(errno.ENOENT, f"{path}: no such program") from None
    if not os.access(path, os.X_OK):
        raise Failure(errno.EACCES, f"{path}: not executable for this user ({hindrance(path, 'chmod +x')})")


def hindrance(path: str, mend: str = "chmod +r") -> str:
    """What keeps this user from a file: the first folder on the way, links followed, else the file itself."""
    for way in (os.path.abspath(path), os.path.realpath(path)):
        for end, letter in enumerate(way):
            if letter == "/" and end and not os.access(way[:end], os.X_OK):
                return f"it may not enter {way[:end]}"
    return mend


if __name__ == "__main__":
    main()
