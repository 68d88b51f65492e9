"""`logs`: what the workers wrote, from their files, whether the tree runs or not.

Which file is whose says `logs.json` in the state directory; the root is not asked. Nothing heavy is imported.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time

from supervisor_tree.cli import target, times
from supervisor_tree.cli.errors import CommandError, did_you_mean
from supervisor_tree.cli.parser import add_json, add_names, add_target
from supervisor_tree.logs.follow import Follower
from supervisor_tree.logs.read import Choice, Cursor, tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from supervisor_tree.logs.read import Line

_LAST = 10
"""Lines shown before following, unless told otherwise."""
_BATCH = 256 * 1024


def arguments(parser: ArgumentParser) -> None:
    add_names(parser, "of these workers and jobs (default: all)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written")
    parser.add_argument(
        "-n", "--lines", metavar="N", type=_count, help=f"the last N lines (default: all; {_LAST} with -f)"
    )
    parser.add_argument("--since", metavar="T", help="since a time or so long ago: 10m, 14:05, 2026-11-22T14:05:00Z")
    parser.add_argument("--grep", metavar="RE", help="lines in which this regular expression is found")
    parser.add_argument("--stderr", action="store_true", help="only what was written to standard error")
    parser.add_argument("--until-eof", metavar="FD", type=int, help=_hidden())
    add_json(parser)
    add_target(parser)


def run(args: Namespace) -> int:
    choice = Choice(_moment(args.since), _regex(args.grep), ["err"] if args.stderr else None)
    place = _Place(args)
    out = _Output(args.json)
    if args.until_eof is not None:
        _follow(place, choice, out, args.until_eof, [])
        return 0
    cursors = place.cursors()
    count = args.lines
    if count is None and args.follow and args.since is None:
        count = _LAST
    out.name_all(place.names)
    for line in tail(cursors, count, choice, unended=not args.follow):
        out.line(line)
    out.flush()
    if args.follow:
        _follow(place, choice, out, None, cursors)
    return 0


def _follow(place: _Place, choice: Choice, out: _Output, until: int | None, cursors: list[Cursor]) -> None:
    """New lines until the reader goes away, ^C, or (``until``) nobody can write to that pipe any more."""
    follower = Follower(choice)
    place.watch(follower)
    for cursor in cursors:
        follower.add(cursor)
    poll = select.poll()
    poll.register(follower.fileno(), select.POLLIN)
    poll.register(1, 0)
    if until is not None:
        poll.register(until, select.POLLIN)
    every = None if follower.every is None else follower.every * 1000
    over = False
    while True:
        fresh, first = place.new_cursors()
        out.name_all(place.names)
        if first and choice.since is not None:
            for line in tail(fresh, None, choice, unended=False):
                out.line(line)
        for cursor in fresh:
            follower.add(cursor)
            cursors.append(cursor)
        for line in follower.news():
            out.line(line)
        if over:
            for line in (line for cursor in cursors for line in cursor.rest() if choice.wants(line)):
                out.line(line)
        out.flush()
        if over:
            return
        place.watch(follower)
        ready = dict(poll.poll(every))
        if ready.get(1, 0) & (select.POLLERR | select.POLLHUP):
            return
        over = until is not None and until in ready


class _Place:
    """Where a tree keeps its logs."""

    def __init__(self, args: Namespace) -> None:
        self._names: list[str] = args.names
        self._wait = args.until_eof is not None
        _, state_dir = target.place(args.config, args.tree, example=self._wait)
        self.map = os.path.join(state_dir, "logs.json")
        self._logs = os.path.join(state_dir, "logs")
        self._seen: tuple[int, int] | None = None
        self._made: set[tuple[str, str]] = set()
        self._known: dict[str, dict[str, str | None]] = {}
        self._globs: set[str] = set()
        """Files that runs of jobs may yet come to write."""
        self.names: list[str] = []
        """Of the workers that are shown."""

    def cursors(self) -> list[Cursor]:
        """A cursor for each file of what was asked for.

        Raises:
            CommandError: a name is unknown (``no_such_name``).
        """
        return self._of(self._read())

    def new_cursors(self) -> tuple[list[Cursor], bool]:
        """Cursors for what the tree has come to know since the last call, and whether this is the first such call.

        What the first ones find may be of an earlier life of the tree.
        """
        if self._stamp() == self._seen:
            return ([], False) if not self._globs else (self._of(self._known), False)
        first = self._seen is None
        return self._of(self._read()), first

    def _read(self) -> dict[str, dict[str, str | None]]:
        self._seen = self._stamp()
        try:
            with open(self.map, "rb") as file:
                found: dict[str, dict[str, str | None]] = json.load(file)
        except (OSError, ValueError):
            found = {}
        if not found and os.path.isdir(self._logs) and not self._wait:
            # Not written yet, or lost: what lies in the tree's own folder.
            for name in sorted(os.listdir(self._logs)):
                if name.endswith(".log"):
                    found[name[: -len(".log")]] = {"path": os.path.join(self._logs, name), "stderr": None}
        return found

    def _stamp(self) -> tuple[int, int] | None:
        try:
            about = os.stat(self.map)
        except OSError:
            return None
        return about.st_ino, about.st_mtime_ns

    def _of(self, known: dict[str, dict[str, str | None]]) -> list[Cursor]:
        chosen = list(known)
        if self._names:
            chosen = []
            for word in self._names:
                # "web" means all of its instances.
                fits = [name for name in known if name == word or name.startswith(word + "@")]
                if not fits:
                    near = did_you_mean(word, {*known, *(name.partition("@")[0] for name in known)})
                    mend = near or "`supervisor-tree ctl status` lists the names"
                    raise CommandError("no_such_name", f"no worker or job is named {word}", mend)
                chosen += [name for name in fits if name not in chosen]
        self.names = chosen
        self._known = known
        made = []
        for name in chosen:
            for path, stream in self._files(known[name]):
                if (name, path) not in self._made:
                    self._made.add((name, path))
                    made.append(Cursor(name, path, stream))
        return made

    def _files(self, log: dict[str, str | None]) -> Iterator[tuple[str, str | None]]:
        for key, stream in (("path", None), ("stderr", "err")):
            path = log.get(key)
            if path:
                yield path, stream
        for key, stream in (("glob", None), ("stderr_glob", "err")):
            pattern = log.get(key)
            if pattern:
                self._globs.add(pattern)
                yield from ((path, stream) for path in _by_age(pattern))

    def watch(self, follower: Follower) -> None:
        """Wake for what the tree comes to know, and for new runs of jobs."""
        follower.watch(self.map)
        for pattern in self._globs:
            follower.watch(pattern)


def _by_age(pattern: str) -> list[str]:
    """The files that fit, the oldest first."""
    import glob

    found = []
    for path in glob.glob(pattern):
        try:
            found.append((os.stat(path).st_mtime_ns, path))
        except OSError:
            continue
    return [path for _, path in sorted(found)]


class _Output:
    """Lines to standard output: as they are, after their names where there are several, or as JSON."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._prefixes: dict[str, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def name_all(self, names: list[str]) -> None:
        """These workers are shown; one alone gets no prefix."""
        if len(names) != len(self._prefixes):
            width = max((len(name) for name in names), default=0)
            several = len(names) > 1
            self._prefixes = {name: f"{name:<{width}} | ".encode() if several else b"" for name in names}

    def line(self, line: Line) -> None:
        if line.dropped:
            self.flush()
            of = _STREAMS[line.stream] or "output"
            print(
                f"supervisor-tree: {line.name}: {line.dropped} bytes of {of} were dropped here, "
                f"the disk was full or did not answer ({times.rfc3339(line.time)})",
                file=sys.stderr,
                flush=True,
            )
            return
        if self._json:
            text = line.data.removesuffix(b"\n").decode(errors="replace")
            head = {"time": times.rfc3339(line.time), "name": line.name, "stream": _STREAMS[line.stream], "line": text}
            data = json.dumps(head, ensure_ascii=False).encode(errors="replace") + b"\n"
        else:
            prefix = self._prefixes.get(line.name, b"")
            data = prefix + line.data if prefix else line.data
            if prefix and not data.endswith(b"\n"):
                data += b"\n"
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _BATCH:
            self.flush()

    def flush(self) -> None:
        data = memoryview(b"".join(self._parts))
        self._parts.clear()
        self._size = 0
        while data:
            data = data[os.write(1, data) :]


_STREAMS = {"out": "stdout", "err": "stderr", "all": None}


def _hidden() -> str:
    import argparse

    return argparse.SUPPRESS


def _count(text: str) -> int:
    if not text.isdigit():
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"{text} is no number of lines")
    return int(text)


def _moment(text: str | None) -> float | None:
    return None if text is None else times.moment(text, time.time())


def _regex(text: str | None) -> re.Pattern[bytes] | None:
    if text is None:
        return None
    try:
        return re.compile(os.fsencode(text))
    except re.error as error:
        raise CommandError("usage", f"--grep {text}: {error}", "write a regular expression of Python's `re`") from error
