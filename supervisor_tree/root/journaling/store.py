"""The journal's SQL view and its damage, as the root sees them: threads that report, and nobody who waits for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from supervisor_tree.root import files

if TYPE_CHECKING:
    from supervisor_tree.root.shell import Shell
    from supervisor_tree.store.view.view import View

_BEHIND = "store/behind"
"""The state that a new root takes over: why the view is behind."""
_STUCK = 15.0
"""Seconds without an answer of the database (or of its disk) after which the view is said to be behind."""
_CATCH_UP = 2.0
"""Seconds that the view has for the last lines of a tree that ends."""
_PAUSE = 0.02
"""Seconds between two looks into the journal for damage: a look takes about 2 ms, and nobody waits for it."""


class Store:
    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._view: View | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._damaged: list[int] = [0, 0]
        """Places of the journal, and lines whose numbers are missing there."""
        self._over = threading.Event()
        self._followed = threading.Event()
        self._begun = False
        self._behind: str | None = None
        """What the root before us has said of the view."""

    def resume(self, state: Mapping[str, bytes]) -> None:
        """What was said is not said again, and its end is."""
        if _BEHIND in state:
            self._behind = state[_BEHIND].decode()

    def begin(self) -> None:
        """Follow the journal, and look for damage in it. Called once the tree is up: both take the processor."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._begin, name="journal check", daemon=True).start()

    def _begin(self) -> None:
        from supervisor_tree.store.view.view import View  # SQLite's library: not on the loop

        folder = files.journal_folder(self._shell.plan.state_dir)
        self._view = View(folder, self._target(), self._report, self._behind)
        self._view.replace(self._target())  # read anew meanwhile
        self._followed.set()
        self._check()

    def written(self) -> None:
        """The journal has more on the disk. Called from its thread, too, when the loop has ended."""
        if self._view is not None:
            self._view.written()

    def look(self) -> None:
        """See to it that a view that does not get on is told of, even where its thread can't (a stalled disk)."""
        if self._looking is None and self._view is not None:
            self._looking = self._shell.loop.call_later(_STUCK, self._look)

    def replan(self) -> None:
        """The configuration was read anew."""
        journal = self._shell.lines.journal
        if journal is not None:
            journal.max_age = self._shell.plan.store.max_age
            journal.write()
        if self._view is not None:
            self._view.replace(self._target())

    def trouble(self) -> dict[str, str | None]:
        """What is wrong with the journal and with its view, in words, for `status`."""
        journal = self._shell.lines.journal
        failing = None if journal is None or journal.failing is None else f"can't be written: {journal.failing}"
        return {
            "journal": failing or self._damage(),
            "view": None if self._view is None or self._view.behind is None else f"behind: {self._view.behind}",
        }

    def close(self) -> None:
        """A tree that is over leaves its last lines in the view; a root that is replaced leaves them to the next."""
        self._over.set()
        if self._shell.over:
            self.begin()  # of a tree that was over before anybody could ask it something
            self._followed.wait(_CATCH_UP)
            if self._view is not None:
                self._view.close(_CATCH_UP)

    def _damage(self) -> str | None:
        places, lost = self._damaged
        if not places:
            return None
        kept = files.journal_folder(self._shell.plan.state_dir) / "quarantine.jsonl"
        return (
            f"{places} place{'' if places == 1 else 's'} damaged, {lost or 'no'} line{'' if lost == 1 else 's'} lost "
            f"({kept})"
        )

    def _target(self) -> Any:
        from supervisor_tree.store.view.view import Target

        plan = self._shell.plan
        return Target(plan.store.url, plan.dir, plan.state_dir, plan.store.max_age)

    def _look(self) -> None:
        self._looking = None
        view = self._view
        if view is None or view.busy is None:
            return
        if time.monotonic() - view.busy >= _STUCK:
            view.fall_behind(f"no answer for {_STUCK:g} s")
        self.look()

    def _report(self, kind: str, **fields: Any) -> None:
        """From any thread."""
        try:
            self._shell.loop.call_soon_threadsafe(self._note, kind, fields)
        except RuntimeError:
            return  # the loop has ended

    def _note(self, kind: str, fields: dict[str, Any]) -> None:
        if kind in ("view_behind", "view_caught_up"):
            self._shell.state(_BEHIND, str(fields["reason"]).encode() if kind == "view_behind" else None)
        self._shell.note(kind, None, **fields)
        self._shell.flush()

    def _check(self) -> None:
        """Look through the whole journal, a little at a time; each damaged place is told of once."""
        from supervisor_tree.store import checking

        journal = self._shell.lines.journal
        if journal is None:
            return
        folder = journal.folder
        journal.opened.wait()
        if journal.torn is not None and not journal.resumes:
            self._tell(journal.torn)
        try:
            known = checking.known(folder)
            for damage in checking.check(folder, pause=lambda: self._over.wait(_PAUSE)):
                if self._over.is_set():
                    return
                if known.pop((damage.segment, damage.offset), None) is None:
                    checking.keep_aside(folder, damage)
                    self._tell(damage)
                else:
                    self._count(damage.places, damage.lost)
        except OSError as error:
            self._report("journal_not_checked", error=error.strerror or str(error))

    def _tell(self, damage: Any) -> None:
        self._count(damage.places, damage.lost)
        self._report(
            "journal_damaged",
            file=str(files.journal_folder(self._shell.plan.state_dir) / damage.segment),
            offset=damage.offset,
            length=damage.length,
            places=damage.places,
            after=damage.after,
            before=damage.before,
            lost=damage.lost,
            torn=damage.before is None,
        )

    def _count(self, places: int, lost: int) -> None:
        self._damaged = [self._damaged[0] + places, self._damaged[1] + lost]
