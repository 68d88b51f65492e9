"""How an immediate crash loop of each worker would end, by the numbers alone (configuration.md rule 7)."""

from __future__ import annotations

from msgspec import Struct

from supervisor_tree.config.plan import Plan
from supervisor_tree.config.reference_page import duration_text
from supervisor_tree.core.spec import Backoff, Restart, SupervisorSpec, WorkerSpec

_STEPS = 5_000
"""Crashes that are played through at most. Every ladder that people write is at its top long before."""


class Fate(Struct, frozen=True):
    """The end of a worker that crashes as soon as it is started."""

    name: str
    text: str
    given_up: bool
    """Whether there is a last try."""
    every: float | None
    """Seconds between tries in the long run; None where they end."""


def fates(plan: Plan) -> list[Fate]:
    """The fate of each worker of the tree, in its order. Jitter is left out."""
    found: list[Fate] = []
    known: dict[tuple[Backoff, Restart, int], Fate] = {}

    def walk(supervisor: SupervisorSpec, above: tuple[SupervisorSpec, ...]) -> None:
        chain = (supervisor, *above)
        for child in supervisor.children:
            if isinstance(child, SupervisorSpec):
                walk(child, chain)
            elif supervisor.name not in plan.templates:
                key = (child.backoff, child.restart, id(supervisor))
                if key not in known:
                    known[key] = _fate(child, chain)
                fate = known[key]
                found.append(Fate(child.name, fate.text, fate.given_up, fate.every))

    walk(plan.root, ())
    return found


def delay(backoff: Backoff, restart: int) -> float:
    """Seconds before the n-th restart in a row (n from 1)."""
    if restart <= 1:
        return min(backoff.first, backoff.max)
    delay = backoff.initial
    for _ in range(restart - 2):
        if delay >= backoff.max or backoff.factor == 1 or delay == 0:
            break
        delay *= backoff.factor
    return min(delay, backoff.max)


def _fate(worker: WorkerSpec, chain: tuple[SupervisorSpec, ...]) -> Fate:
    if worker.restart is Restart.TEMPORARY:
        return Fate(worker.name, "not restarted", given_up=True, every=None)
    now = 0.0
    crashes = dict.fromkeys(range(len(chain)), 0)
    windows: list[list[float]] = [[] for _ in chain]
    first: str | None = None
    for starts in range(1, _STEPS + 1):
        level = 0
        while level < len(chain):
            supervisor = chain[level]
            window = windows[level] = [at for at in windows[level] if now - at <= supervisor.period] + [now]
            crashes[level] += 1
            if supervisor.intensity is None or len(window) <= supervisor.intensity:
                break
            windows[level] = []
            if first is None:
                span = "at once" if now == 0 else f"in {duration_text(round(now, 1) if now < 10 else round(now))}"
                first = f"{supervisor.name} gives up after {starts} start{'s' if starts > 1 else ''} {span}"
            level += 1
        if level == len(chain):
            return Fate(worker.name, f"{first}{_end(chain[-1], len(chain) > 1)}", given_up=True, every=None)
        # The child that failed on this level waits on its own ladder: the worker, or a supervisor that gave up.
        ladder = worker.backoff if level == 0 else chain[level - 1].backoff
        now += delay(ladder, crashes[level])
    every = delay(worker.backoff, _STEPS)
    tries = f"a try every {duration_text(every)}" if every else "tried again at once, each time"
    text = f"never given up: {tries}" if first is None else f"{first} and is restarted; never given up: {tries}"
    return Fate(worker.name, text, given_up=False, every=every)


def _end(root: SupervisorSpec, nested: bool) -> str:
    said = ", then root" if nested else ", then it"
    if root.on_give_up == "exit":
        return ", and the tree ends with status 1" if not nested else f"{said} does, and the tree ends with status 1"
    if root.on_give_up == "hold":
        return f"{said} holds it: failed until `ctl start`"
    return f"{said} holds it and tries once more after {duration_text(float(root.on_give_up))}"
