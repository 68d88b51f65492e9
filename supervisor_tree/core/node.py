"""One place in the tree: what is known of a child, whether worker or supervisor.

`Record` is what is written down; `Node` adds what follows from the specification and from the other
records, and is rebuilt by `Tree.load`. Nothing in here decides.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field

from supervisor_tree.core.events import By, Exit, WishWord
from supervisor_tree.core.intensity import Window
from supervisor_tree.core.spec import ChildSpec, Restart, Strategy, SupervisorSpec, WorkerSpec

Task = Literal["start", "stop"]


class State(StrEnum):
    """The life of a child. The columns of the table in `child.py`."""

    DOWN = "down"
    """Nothing runs: OTP's `undefined`."""
    STARTING = "starting"
    """Its spawn is unanswered; of a supervisor: its first children are being started (OTP's `init`)."""
    UP = "up"
    STOPPING = "stopping"
    """Asked to stop, or a supervisor that ends by itself; `Node.then` says what follows."""
    RESTARTING = "restarting"
    """To be started again after its delay, or once a failed start is tried again: OTP's `restarting`."""


ALIVE = frozenset({State.STARTING, State.UP, State.STOPPING})
"""The states in which something runs, or may."""


class Then(StrEnum):
    """What follows when a stop has ended. A later word overrides an earlier one as told in `child.py`."""

    STAY = "stay"
    CRASH = "crash"
    """It counts as a crash, whatever its exit says: killed for a hang, a probe, a limit, a time-out."""
    RESTART = "restart"
    REMOVE = "remove"


class Gate(StrEnum):
    """Why a start was answered with OTP's `ignore`."""

    STOPPED = "stopped"
    HELD = "held"
    WAITING = "waiting"
    FAILED = "failed"
    """Its supervisor gave up because of it, and holds (`on_give_up`): until an operator's start."""


class Walk(Struct, omit_defaults=True):
    """A pass over a supervisor's children, one after the other, begun and not yet through.

    A stop goes from the last rank down to ``first``, a start from ``first`` up; ``cursor`` is the rank
    of the child that is being waited for.
    """

    task: Task
    first: int
    cursor: int
    end: bool = False
    """The supervisor itself ends with this pass."""
    owner: str | None = None
    """The child whose failure began this round, and whose backoff the round waits for."""
    delay: float = 0.0
    keep: bool = False
    """An operator's round: temporary children are restarted, too, not dropped."""

    def covers(self, rank: int) -> bool:
        """Whether the child of this rank is in a set that is being stopped."""
        return self.task == "stop" and rank >= self.first


LAST = 1 << 53
"""A rank behind every child."""


def start_walk() -> Walk:
    return Walk(task="start", first=0, cursor=-1)


def end_walk() -> Walk:
    return Walk(task="stop", first=0, cursor=LAST, end=True)


class Record(Struct, omit_defaults=True):
    """The part of a node that is written down."""

    path: str
    rank: int = 0
    """Place among its siblings: start order."""
    own_spec: ChildSpec | None = None
    """Set where it is not what the supervisor's specification declares: made by `start_child`."""
    listed: bool = True
    """In OTP's list of children. False: deleted, or temporary and ended; the specification still names it."""

    state: State = State.DOWN
    then: Then | None = None
    incarnation: int = 0
    pid: int | None = None
    since: float = 0.0
    ready: bool = False
    ready_at: float | None = None
    healthy: bool | None = None
    reason: str | None = None
    failed: bool = False
    """It ended for good, abnormally, or its supervisor gave up because of it."""
    completed: bool = False
    """It ended for good, normally."""
    exit: Exit | None = None
    exited_at: float | None = None
    crash: str | None = None
    """Why it is being killed, when `then` is `Then.CRASH`."""
    deadline: float | None = None
    """When the stop under way turns into a kill."""

    wish: WishWord = "up"
    by: By | None = None
    gate: Gate | None = None
    gate_for: str | None = None
    """`waiting`: the path waited for; `held` by the shell: its reason."""

    restarts: int = 0
    """Counted restarts, ever."""
    attempt: int = 0
    """Rung of the backoff ladder."""
    tried: bool = False
    """`on_give_up` with a duration has had its one try."""
    timers: dict[str, float] | None = None
    start_call: str | None = None
    """The `start_child` or `restart_child` that waits for the start under way."""
    adding: bool = False
    """That call is `start_child`: a start that fails leaves nothing behind."""
    stop_calls: list[str] | None = None
    successor: ChildSpec | None = None
    """After `Then.REMOVE`: what takes its place, under the same name."""

    walk: Walk | None = None
    begun: bool = False
    """This instance of the supervisor has been up."""
    ending: str | None = None
    """Why the supervisor ends by itself: gave_up, auto_shutdown, failed_start."""
    failure: Any = None
    """`failed_start`: OTP's reason."""
    killed: bool = False
    owed: float = 0.0
    """Backoff of the child because of which it gave up: its own restart waits at least so long."""
    cause: str | None = None
    """The child because of which it ends by itself."""


class Node(Record, kw_only=True, eq=False):
    """A record and its place in the tree."""

    spec: ChildSpec
    parent: Node | None = None
    order: list[Node] = field(default_factory=list)
    """The children by rank, declared ones that are not listed included."""
    live: int = 0
    """How many children are `ALIVE`."""
    window: Window | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def supervisor(self) -> SupervisorSpec:
        """The specification, of a node known to be a supervisor."""
        assert isinstance(self.spec, SupervisorSpec)
        return self.spec

    @property
    def worker(self) -> WorkerSpec:
        assert isinstance(self.spec, WorkerSpec)
        return self.spec

    @property
    def is_supervisor(self) -> bool:
        return isinstance(self.spec, SupervisorSpec)

    @property
    def is_simple(self) -> bool:
        return isinstance(self.spec, SupervisorSpec) and self.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE

    @property
    def is_ordered(self) -> bool:
        """One child's failure concerns others, and a child waits for the one before it."""
        return isinstance(self.spec, SupervisorSpec) and self.spec.strategy in (
            Strategy.ONE_FOR_ALL,
            Strategy.REST_FOR_ONE,
        )

    @property
    def is_temporary(self) -> bool:
        return self.spec.restart is Restart.TEMPORARY

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


def position(sup: Node, rank: int) -> int:
    """Index in ``sup.order`` of the first child whose rank is not below ``rank``."""
    low, high = 0, len(sup.order)
    while low < high:
        middle = (low + high) // 2
        if sup.order[middle].rank < rank:
            low = middle + 1
        else:
            high = middle
    return low
