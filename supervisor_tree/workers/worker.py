"""`Worker`: an asyncio program that the tree starts, hears, asks and ends.

    setup ──► ready ──► run ─────────────────► teardown ──► exit status
                         └ check, beat, check, beat, …

Importing this costs nothing: no asyncio, no msgspec. Those come with the first worker that runs.
"""

from __future__ import annotations

from supervisor_tree.workers.life import present

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import logging
    from typing import Any


class Worker:
    """One supervised program. Derive from it, write `run`, and name it in the tree file::

        import asyncio
        import msgspec
        from supervisor_tree.workers import Worker

        class Args(msgspec.Struct):
            url: str
            every: float = 30.0  # seconds

        class Feed(Worker):
            args: Args

            async def run(self) -> None:
                while True:
                    posts = await fetch(self.args.url)
                    self.beat(f"{len(posts)} posts")
                    await asyncio.sleep(self.args.every)

        # tree.toml
        [workers.feed]
        run = "feed:Feed"
        args = { url = "https://example.org/feed" }
        health = { heartbeat = "90s" }

    `setup`, `run` and `teardown` are awaited in one and the same task, in this order, so that what one of them opens (a
    task group, a timeout, a client) another may close. An exception out of `setup` or `run` is a crash: its traceback
    goes to stderr and the exit status is 1. `SystemExit` is respected.

    **Beats.** Once `setup` is done, the worker's own loop says every third of the limit that ``heartbeat``
    in ``health`` sets (at most every 10 s) that it turns, provided that `check` finds nothing wrong. A loop that is
    blocked says nothing, and that is how the tree finds out. Nothing of this ever waits for the tree, or raises because
    of it.

    **Its end.** SIGTERM, SIGINT and ``ctl stop`` ask for it. A worker that has looked at `stopping` is trusted to end
    by itself: `run` is cancelled only when all but 5 s (of a shorter ``shutdown``: half) of the time that the tree
    gives is used up. `run` of one that never has is cancelled at once. `teardown` follows in both cases. A second
    signal cancels whatever is still going on.

    No ``__init__`` is needed. One that is written takes no arguments and finds ``self.args`` in place; the loop does
    not run yet. To test a worker without a tree: make it, set ``args``, and await its methods; what it says then goes
    nowhere.
    """

    args: Any = None
    """The tree file's ``args``. Annotate it in your class (``args: MyArgs``) with a msgspec Struct, a dataclass or a
    TypedDict, and it is checked, made into one, and unknown keys are refused. Where a number is wanted, a text that
    writes one will do (``"${EVERY:-30}"``). A worker whose arguments do not fit ends before `setup`, with one line on
    stderr (``args.every: Expected `float`, got `str` ``) and exit status 2. Without an annotation it is a dict."""

    beats_by_itself: bool = True
    """False: only what the worker says itself (`beat`) counts, not that its loop turns. For work whose standstill
    does not show in the loop; call `beat` where it gets on."""

    _event: asyncio.Event | None = None

    async def setup(self) -> None:
        """Get what `run` needs. When it returns, the tree is told that this worker is ready.

        It has the tree file's ``start_timeout`` for that. It is cancelled when the end is asked for; `teardown` follows
        only if it has returned.
        """

    async def run(self) -> int | None:
        """The work. Returns when there is none left: the exit status, None for 0.

        What follows a return is the tree file's ``restart``. This one waits until the end is asked for: enough for a
        worker that does all in tasks which `setup` has started.
        """
        await self.stopping.wait()
        return None

    async def check(self) -> bool | str | None:
        """Whether all is well, asked before each beat.

        Return None or True for yes. False, a text that says what is wrong, or an exception: no beat, and the reason is
        shown by ``ctl describe``; when that lasts for the limit, the worker is taken to hang and is restarted.
        """
        return None

    async def teardown(self) -> None:
        """Give back what `setup` took. Runs whenever `setup` had returned, also after a crash of `run`.

        What it raises makes an exit status of 0 into 1.
        """

    async def command(self, name: str, args: dict[str, Any]) -> Any:
        """Do what the tree asks for (``reload``), in a task of its own beside `run`; the answer is plain data, as in
        JSON.

        Raise what went wrong: the caller gets it in words.
        """
        raise NotImplementedError(f"{type(self).__name__} has no command {name}")

    def beat(self, status: str | None = None, *, detail: str | None = None, **fields: Any) -> None:
        """Say that it gets on, and how. From any thread, as often as you like; never blocks.

        Args:
            status: a few words for ``ctl status``. None: as before.
            detail: more of them, with this beat only.
            fields: figures for ``ctl describe``, any that JSON has; they stay as they are in later beats until they are
                given again. None removes one.

        Called from the loop's own thread it is a beat at once; from another one it waits for the loop to turn, so that
        no helper thread beats for a loop that hangs.
        """
        if present.life is not None:
            present.life.beat(status, detail, fields)

    def activity(self, name: str, **fields: Any) -> None:
        """Say that something useful was done (``"POST_SUCCESS"``): one line of the journal. As `beat`: never blocks."""
        if present.life is not None:
            present.life.channel.activity(name, fields)

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the end is asked for. Who has looked at it is not interrupted but waited for; see the class."""
        if present.life is not None:
            present.life.end.looked_at = True
        return self._stopping()

    @property
    def name(self) -> str:
        """Its name in the tree (``web@8001``); without a tree, that of the class."""
        return type(self).__name__ if present.life is None else present.life.name

    @property
    def incarnation(self) -> int:
        """Which start of it this is: 1, 2, 3, …; 0 without a tree."""
        return 0 if present.life is None else present.life.incarnation

    @property
    def log(self) -> logging.Logger:
        """The standard library's logger of the worker's name: warnings and errors go to stderr, unless your program
        configures `logging` otherwise."""
        import logging

        return logging.getLogger(self.name)

    def _stopping(self) -> asyncio.Event:
        """`stopping`, for the harness: a look that means nothing."""
        if self._event is None:
            import asyncio

            self._event = asyncio.Event()
        return self._event

    def _begin(self) -> None:
        """After ``__init__``, before the loop runs. Raises `ArgsError` where ``args`` can't be used."""
