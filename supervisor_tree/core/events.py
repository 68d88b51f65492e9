"""What can happen: everything that the core is ever told. Past tense; paths name nodes (`root/market/uw`).

An event about an incarnation that is no longer the present one is dropped by the core, silently.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from supervisor_tree.core.spec import ChildSpec, SupervisorSpec


class Exit(Struct, frozen=True, kw_only=True):
    """How a process ended, as the shell saw it."""

    code: int | None = None
    signal: int | None = None
    normal: bool = False
    """True where `success` names this status or signal: OTP's `normal`."""
    reason: str = ""
    """For people: "exit status 3", "killed by SIGKILL", "out of memory", …; in replays OTP's reason."""


class By(Struct, frozen=True, kw_only=True):
    """Who asked, when (wall clock, seconds) and why: kept with a wish, shown by `status` and `why`."""

    who: str = ""
    at: float = 0.0
    why: str = ""


class TreeStarted(Struct, frozen=True, tag=True):
    """The root supervisor is to start."""


class ShutdownRequested(Struct, frozen=True, tag=True):
    """The whole tree is to stop, in reverse start order; nothing can undo it."""

    request: str = ""


class ChildSpawned(Struct, frozen=True, tag=True):
    path: str
    incarnation: int
    pid: int


class SpawnFailed(Struct, frozen=True, tag=True):
    """The program could not be executed: OTP's start failure."""

    path: str
    incarnation: int
    reason: str


class StartIgnored(Struct, frozen=True, tag=True):
    """The start answered OTP's `ignore`. ``held``: why it may not start yet; it is `held` until `GateOpened`."""

    path: str
    incarnation: int
    held: str | None = None


class GateOpened(Struct, frozen=True, tag=True):
    """What held the start of this child holds it no longer: one uncounted start."""

    path: str


class ChildReady(Struct, frozen=True, tag=True):
    path: str
    incarnation: int


class MoreTimeAsked(Struct, frozen=True, tag=True):
    """It says that it needs at least ``seconds`` from now on to become ready, whatever its `start_timeout`."""

    path: str
    incarnation: int
    seconds: float


class HealthChanged(Struct, frozen=True, tag=True):
    path: str
    incarnation: int
    healthy: bool


class KillRequested(Struct, frozen=True, tag=True):
    """The shell wants this incarnation ended as a crash (hung, unhealthy, over a limit), whatever it exits with.

    ``hold``: not as a crash, but held from then on, as if an operator had held and stopped it."""

    path: str
    incarnation: int
    reason: str
    hold: By | None = None


class ChildExited(Struct, frozen=True, tag=True):
    """Nothing is left of this incarnation: leader reaped, group and adopted processes gone."""

    path: str
    incarnation: int
    exit: Exit


class TimerFired(Struct, frozen=True, tag=True):
    """A timer that the core armed (`ArmTimer`) is due."""

    path: str
    timer: str


# OTP's calls. `Reply.result` is OTP's answer.


class StartChildCalled(Struct, frozen=True, tag=True):
    request: str
    supervisor: str
    child: ChildSpec | None = None
    instance: str | None = None
    """`simple_one_for_one`: the name of the new child made from the template, instead of ``child``."""


class TerminateChildCalled(Struct, frozen=True, tag=True):
    request: str
    supervisor: str
    name: str


class RestartChildCalled(Struct, frozen=True, tag=True):
    request: str
    supervisor: str
    name: str


class DeleteChildCalled(Struct, frozen=True, tag=True):
    request: str
    supervisor: str
    name: str


# What operators ask. Each ends with a `Reply`, always.


class StopRequested(Struct, frozen=True, tag=True):
    """Wish down for ``paths`` and their subtrees; ends when nothing of them is left.

    ``tied``: with what the strategy ties to them."""

    request: str
    paths: tuple[str, ...]
    by: By = By()
    tied: bool = False
    transient: bool = False
    """True: stop without a wish (`ctl cancel`, planned stop before a removal)."""


class StartRequested(Struct, frozen=True, tag=True):
    """Wish up: ends a hold or a `failed`, clears backoff, takes its restarts out of the window, tries now.

    Ends when each is started (spawned, and ready where that is told) or has failed to."""

    request: str
    paths: tuple[str, ...]
    by: By = By()
    tied: bool = False


class RestartRequested(Struct, frozen=True, tag=True):
    """Stop, then start, counted in no intensity. One that is down is started."""

    request: str
    paths: tuple[str, ...]
    by: By = By()
    tied: bool = False
    reason: str = "restart"


class HoldRequested(Struct, frozen=True, tag=True):
    """Hands off: leave a running one alone, don't (re)start it once it ends."""

    request: str
    paths: tuple[str, ...]
    by: By = By()


class ReleaseRequested(Struct, frozen=True, tag=True):
    request: str
    paths: tuple[str, ...]
    by: By = By()


class Cancelled(Struct, frozen=True, tag=True):
    """Give up waiting for an operation: what it has not begun is not begun."""

    request: str
    operation: str


class Reconfigured(Struct, frozen=True, tag=True):
    """The tree file was read anew. Children no longer named are stopped and deleted, new ones added at
    their place and started, those in ``restart`` restarted (uncounted), every other keeps running under
    its new specification."""

    request: str
    root: SupervisorSpec
    restart: tuple[str, ...] = ()


WishWord = Literal["up", "down", "hold"]


class WishesRestored(Struct, frozen=True, tag=True):
    """Before `TreeStarted`: what operators wished in the tree's last life."""

    wishes: dict[str, tuple[WishWord, By]]


Event = (
    TreeStarted
    | ShutdownRequested
    | ChildSpawned
    | SpawnFailed
    | StartIgnored
    | GateOpened
    | ChildReady
    | MoreTimeAsked
    | HealthChanged
    | KillRequested
    | ChildExited
    | TimerFired
    | StartChildCalled
    | TerminateChildCalled
    | RestartChildCalled
    | DeleteChildCalled
    | StopRequested
    | StartRequested
    | RestartRequested
    | HoldRequested
    | ReleaseRequested
    | Cancelled
    | Reconfigured
    | WishesRestored
)
