"""Users and groups of this machine, remembered between loads of the configuration."""

from __future__ import annotations

import os
from functools import lru_cache

from msgspec import Struct

from supervisor_tree.config.problems import did_you_mean, quoted
from supervisor_tree.config.reading import At


class User(Struct, frozen=True):
    """What a program gets to know of the user it runs as."""

    name: str
    uid: int
    home: str
    shell: str


@lru_cache(maxsize=256)
def find_user(name: str) -> User | None:
    """The user of this name or number, None when there is none."""
    import pwd

    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() and len(name) < 10 else pwd.getpwnam(name)
    except (KeyError, ValueError, OverflowError):
        return None
    return User(entry.pw_name, entry.pw_uid, entry.pw_dir, entry.pw_shell or "/bin/sh")


@lru_cache(maxsize=256)
def has_group(name: str) -> bool:
    """Whether there is a group of this name or number."""
    import grp

    try:
        _ = grp.getgrgid(int(name)) if name.isdecimal() and len(name) < 10 else grp.getgrnam(name)
    except (KeyError, ValueError, OverflowError):
        return False
    return True


def forget() -> None:
    """Ask the machine anew from now on."""
    find_user.cache_clear()
    has_group.cache_clear()


def check_user(user: str | None, group: str | None, at: At) -> None:
    """Note users and groups that are not there, or can't be had without being root (rule 17)."""
    root = os.geteuid() == 0
    if user is not None:
        found = find_user(user)
        if found is None:
            at.wrong(f"there is no user {quoted(user)} on this machine{_near(user, _all_users())}", "user")
        elif not root and found.uid != os.geteuid():
            at.wrong("only root can run programs as another user: start the tree as root, or leave this out", "user")
    if group is not None:
        if not has_group(group):
            at.wrong(f"there is no group {quoted(group)} on this machine", "group")
        elif not root:
            at.wrong("only root can run programs in another group: start the tree as root, or leave this out", "group")


def _all_users() -> list[str]:
    import pwd

    return [entry.pw_name for entry in pwd.getpwall()]


def _near(name: str, known: list[str]) -> str:
    return did_you_mean(name, known)
