"""How a root begins: the first of a tree, or one that takes over from a root that is gone.

Standby (an upgrade) is a takeover in two halves: a hello with the state to prove that this version can read it,
then, when the old root has been ended, a second hello with the state as it is by then.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from supervisor_tree import __version__, config
from supervisor_tree.core import effects as fx
from supervisor_tree.core import events as ev
from supervisor_tree.core.tree import Tree
from supervisor_tree.ipc.link import Link, LinkClosed, LinkError, unpack_items
from supervisor_tree.keeper import sweep
from supervisor_tree.keeper.deathwatch import DeathWatch
from supervisor_tree.root import files, rundir, wishes
from supervisor_tree.root.arguments import Arguments
from supervisor_tree.root.errors import RootError
from supervisor_tree.root.hearing import descriptors
from supervisor_tree.root.hearing.tokens import Tokens
from supervisor_tree.root.keeper_link import KeeperLink
from supervisor_tree.root.shell import Shell
from supervisor_tree.store.journal import Journal

PROTOCOL = 1
_TRY_AGAIN = 4.0
"""Seconds between two tries to make use of a run directory that is no good."""
_LAST_WISHES = 2.0
"""Seconds that the disk has for what operators wished last."""
_PROOF = 5.0
"""Seconds within which the keeper's death is to show after the end of its link: descriptors are closed first."""


def run(arguments: Arguments, environ: Mapping[str, str]) -> int:
    """Live as the root until the keeper ends us. Returns `start`'s exit status when there is nothing to live for."""
    link = Link(socket.socket(fileno=arguments.link), msgspec.json.Decoder().decode)
    hello: dict[str, Any] = {}
    try:
        hello, blob = _await(link, "hello")
        if hello.get("lock"):
            # Held for life, never looked at: the lock is gone when keeper, root and logger all are.
            link.take_fd()
        if hello["mode"] == "first":
            return _first(link, hello, arguments, environ)
        if hello["mode"] == "standby":
            _restore(hello, blob)
            link.send({"t": "able", "version": __version__, "protocol": PROTOCOL})
            hello, blob = _await(link, "hello")
        return _take_over(link, hello, blob)
    except LinkClosed:
        if hello:
            watch = DeathWatch(hello["keeper"], hello["keeper_start"])
            if _is_proved(watch):
                sweep.kill_all(hello["id"], hello["table"], heir=True)
        return 1


def _is_proved(watch: DeathWatch) -> bool:
    """Whether the keeper, whose link has ended, is dead. Waits for it to show: who exits too early sweeps nothing."""
    until = time.monotonic() + _PROOF
    fd = watch.fileno()
    while not watch.proved():
        left = until - time.monotonic()
        if left <= 0:
            return False
        # Where no descriptor tells of a death, asking is all there is.
        select.select([] if fd is None else [fd], [], [], min(left, 0.05) if fd is None else left)
    return True


def _await(link: Link, kind: str) -> tuple[dict[str, Any], bytes]:
    """The next frame of this kind; pings before it are answered."""
    while True:
        for head, blob in link.receive():
            if head["t"] == "ping":
                link.send({"t": "pong", "n": head["n"]})
            elif head["t"] == kind:
                return head, blob
        select.select([link], [link] if link.wants_write else [], [])
        link.flush()


def complain(message: str, mend: str = "") -> None:
    """One error on `start`'s standard error."""
    sys.stderr.write(f"supervisor-tree: {message}{f' — {mend}' if mend else ''}\n")


def _files(arguments: Arguments, environ: Mapping[str, str]) -> list[str]:
    """The configuration meant, as it was named: errors show the names that people gave.

    Raises:
        ConfigError: there is none.
    """
    found = arguments.files
    if not found:
        searched = config.find(environ, example=True)
        found = list(searched.files)
        if searched.example:
            complain(f"no tree.toml here: this is the example tree that comes with the package ({found[0]})")
    return found


def _first(link: Link, hello: dict[str, Any], arguments: Arguments, environ: Mapping[str, str]) -> int:
    try:
        plan = config.load(_files(arguments, environ), environ, arguments.names)
    except config.ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 4 if isinstance(error, config.UnknownName) else 2
    for warning in (*plan.warnings, *plan.not_yet):
        sys.stderr.write(f"{warning}\n")
    try:
        files.make_folders(plan)
        uids = rundir.users(plan)
        run_dir = rundir.place(plan.run_dir, plan.state_dir, uids)
        rundir.prepare(run_dir, uids)
        wished = wishes.load(plan.state_dir)
    except RootError as error:
        complain(str(error), error.mend)
        return 1
    link.send({"t": "prepare", "state_dir": plan.state_dir, "run_dir": run_dir, "name": plan.name, "file": plan.file})
    locked, _ = _await(link, "locked")
    link.take_fd()

    def begin(shell: Shell) -> None:
        shell.state("plan", msgspec.json.encode(plan))
        shell.state("run_dir", run_dir.encode())
        shell.state("secret", shell.tokens.secret)
        shell.note(
            "tree_started",
            None,
            tree=plan.name,
            file=plan.file,
            keeper=shell.keeper_pid,
            root=os.getpid(),
            version=__version__,
        )
        for left in locked.get("swept", []):
            shell.note(
                "swept",
                left.get("name"),
                pid=left.get("pid"),
                command=left.get("command"),
                why="left over from the tree's last life",
            )
        shell.alerts.begin()
        shell.activity.begin()
        shell.retention.begin()
        shell.recovery.pasts.begin()
        shell.tell(ev.WishesRestored(wishes.by_path(shell, wished)))
        shell.tell(ev.TreeStarted())
        shell.jobs.begin()

    return _live(KeeperLink(link), Tree(plan.root), plan, hello, run_dir, begin)


def _restore(hello: dict[str, Any], blob: bytes) -> tuple[dict[str, bytes], list[tuple[int, bytes]], Tree, config.Plan]:
    items, at = unpack_items(hello["state"], blob)
    journal, _ = unpack_items(hello["journal"], blob, at)
    state = {key: value for key, value in items if value is not None}
    plan = msgspec.json.decode(state["plan"], type=config.Plan)
    tree = Tree.load([(key[5:], value) for key, value in state.items() if key.startswith("core/")])
    return state, [(seq, line) for seq, line in journal if line is not None], tree, plan


def _take_over(link: Link, hello: dict[str, Any], blob: bytes) -> int:
    if not any(key == "plan" for key, _ in hello["state"]):
        complain("the root died before the tree was started", "start it again")
        return 1
    state, journal, tree, plan = _restore(hello, blob)
    run_dir = state["run_dir"].decode()

    def begin(shell: Shell) -> None:
        shell.pending_journal = journal
        resume(shell, state, [line for line, _ in journal], hello)

    keeper = KeeperLink(link, committed=hello["commit"])
    return _live(keeper, tree, plan, hello, run_dir, begin)


def resume(shell: Shell, state: Mapping[str, bytes], unwritten: list[int], hello: dict[str, Any]) -> None:
    """Go on where the root before us was cut off: its state is loaded, now what it had begun is done.

    First what the keeper was asked for and may not have got (each effect is idempotent), then what the
    keeper told and nobody acknowledged.
    """
    for key, value in state.items():
        if key.startswith("operation/"):
            shell.operations.load(value)
        elif key.startswith("dropping/"):
            shell.dropping[key.removeprefix("dropping/")] = value.decode()
        elif key.startswith("blocking/"):
            shell.blocking[key.removeprefix("blocking/")] = value.decode()
        else:
            shell.notified.load(key, value)
            shell.said.load(key, value)
            shell.errands.load(key, value)
            shell.alerts.load(key, value)
            shell.activity.load(key, value)
            shell.recovery.load(key, value)
    if "secret" in state:
        shell.tokens = Tokens(state["secret"])
    else:  # of a root that had none: who runs already is not believed
        shell.state("secret", shell.tokens.secret)
    shell.table = {row[0]: row[:4] for row in hello["table"]}
    shell.journal_seq = max([shell.journal_seq, *unwritten])
    shell.note("root_replaced", None, root=os.getpid(), version=__version__, lost=hello.get("lost"))
    shell.wishes_file.changed()  # the root before us may have died between its commit and the file
    effects = shell.tree.resume(shell.loop.time())
    shell.perform(effects)
    shell.spawning.resume()
    shell.beating.resume()
    shell.limits.resume(state)
    shell.store.resume(state)
    shell.probes.resume(state)
    shell.changed(shell.tree.nodes)
    shell.notified.resume()
    shell.alerts.resume()
    shell.activity.resume()
    shell.retention.begin()
    shell.recovery.resume()
    shell.jobs.load(state)
    shell.jobs.resume()
    shell.errands.resume()
    for head in hello["events"]:
        shell.on_event_frame(head)
    # Stopped while the root before us was still making its program: the keeper never heard of it and will not answer.
    known = {(row[0], row[1]) for row in hello["table"]}
    known |= {(head.get("name"), head.get("inc")) for head in hello["events"]}
    for effect in effects:
        if isinstance(effect, fx.StopChild) and (shell.bare(effect.path), effect.incarnation) not in known:
            shell.tell(ev.SpawnFailed(effect.path, effect.incarnation, "stopped before it was started"))
    if any(operation.state == "running" for operation in shell.operations.all.values()):
        from supervisor_tree.root.verbs import change, configuration

        configuration.resume(shell)
        change.resume(shell)


def _live(
    keeper: KeeperLink,
    tree: Tree,
    plan: config.Plan,
    hello: dict[str, Any],
    run_dir: str,
    begin: Callable[[Shell], None],
) -> int:
    async def life() -> int:
        shell = Shell(keeper=keeper, tree=tree, plan=plan, hello=hello, run_dir=run_dir)
        ended: asyncio.Future[int] = shell.loop.create_future()
        shell.loop.set_exception_handler(
            lambda _loop, context: shell.on_loop_error(context["message"], context.get("exception"))
        )
        watch = DeathWatch(hello["keeper"], hello["keeper_start"])

        def over(status: int) -> None:
            if not ended.done():
                ended.set_result(status)

        def readable() -> None:
            try:
                shell.on_link()
            except (LinkClosed, LinkError):
                # The keeper closed the link: it has replaced us, or it is dead. Only proof of the latter
                # is a reason to kill (`processes.md` 6); the end of the file alone harms nobody.
                over(0)

        shell.on_keeper_gone = lambda: over(0)

        # The first root of a life looks where the last life's numbers ended; the next are told, and wait for no disk.
        on_disk = None if shell.first else hello.get("written")
        journal = Journal(files.journal_folder(plan.state_dir), shell.lines.on_written, on_disk)
        journal.max_age = plan.store.max_age
        shell.journal_seq = journal.last
        shell.lines.journal = journal
        begin(shell)
        shell.lines.append(shell.pending_journal)
        # Only now: a root that dies before this is tried again with growing pauses, not at once.
        keeper.link.send({"t": "able", "version": __version__, "protocol": PROTOCOL})
        shell.flush()
        shell.loop.add_reader(keeper.link.fileno(), readable)
        fd = watch.fileno()
        if fd is not None:
            shell.loop.add_reader(fd, over, 1)
        shell.loop.call_soon(_open_control, shell)
        # What there is by now stays; collecting over a large tree again and again would be a pause in a restart.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        gc.enable()
        status = await ended
        if shell.over:
            await shell.incidents.finish()
            await shell.jobs.finish()
            await shell.activity.finish()
            await shell.recovery.pasts.finish()
            await shell.alerts.finish()
            await shell.wishes_file.finish(_LAST_WISHES)
        # A tree that is over is swept by its keeper, which waits for us to exit.
        if watch.proved() if shell.over else _is_proved(watch):
            sweep.kill_all(shell.id, shell.table.values(), heir=True)
        shell.close()
        if shell.over:
            files.remove_run_files(shell)
        return status

    return asyncio.run(life())


def _open_control(shell: Shell, refused: str | None = None) -> None:
    """Bind the sockets. Imported here: ZeroMQ loads while the keeper spawns.

    ``refused``: why the run directory was no good the last time."""
    from supervisor_tree.root.control import Control
    from supervisor_tree.root.hearing.heartbeats import Heartbeats
    from supervisor_tree.root.sockets import Sockets
    from supervisor_tree.root.verbs import configuration

    descriptors.raise_limit()
    shell.request_reload = lambda: configuration.reload_by_signal(shell)
    shell.bind_anew = lambda: _bind_anew(shell)
    try:
        rundir.prepare(shell.run_dir, rundir.users(shell.plan))
    except RootError as error:
        if str(error) != refused:
            shell.note("unreachable", None, error=str(error), mend=error.mend)
            shell.flush()
        shell.loop.call_later(_TRY_AGAIN, _open_control, shell, str(error))
        return
    control = Control(shell)
    shell.control = control
    shell.sockets = Sockets(os.path.join(shell.run_dir, "control"), control.on_request)
    shell.heartbeats = Heartbeats(shell)
    files.write_run_json(shell)
    files.write_logs_json(shell)
    workers = len(shell.directory.workers_below("root"))
    if shell.first:
        complain(
            f"{shell.plan.name} runs: {workers} worker{'' if workers == 1 else 's'} (keeper {shell.keeper_pid})",
            "look: supervisor-tree ctl status; end: ^C here, or supervisor-tree ctl shutdown",
        )
    shell.effect("ready")
    shell.effect("status", text="running")
    shell.flush()
    shell.store.begin()


def _bind_anew(shell: Shell) -> bool:
    """Cleaners of /tmp remove what nobody has touched for days: looked at every few seconds, and before a verdict."""
    if shell.sockets is None or shell.heartbeats is None:
        return False
    anew = shell.heartbeats.bind_anew()
    if not shell.sockets.bound():
        try:
            rundir.prepare(shell.run_dir, rundir.users(shell.plan))
            shell.sockets.bind()
        except RootError as error:
            shell.note("unreachable", None, error=str(error), mend=error.mend)
            return anew
        files.write_run_json(shell)
        anew = True
    if anew:
        shell.note("sockets_bound_anew", None, run_dir=shell.run_dir)
    return anew
