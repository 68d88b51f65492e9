"""What holds of every tree under any events in any order. `Shell` checks most of it at every effect."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from supervisor_tree.core import events as ev
from supervisor_tree.core import supervising
from supervisor_tree.core.node import State, Then
from supervisor_tree.core.spec import (
    AutoShutdown,
    Backoff,
    Level,
    Need,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)
from tests.unit.core.shell import CRASH, DONE, TERM, Shell, waits

NAMES = "abcdefgh"
LADDERS = st.sampled_from([Backoff(), Backoff(first=0.0, initial=1.0, factor=2.0, max=8.0, reset=60.0, jitter=0.1)])


@st.composite
def workers(draw: Any, name: str, earlier: tuple[str, ...], significant: bool) -> WorkerSpec:
    restart = draw(st.sampled_from(Restart))
    needs: tuple[Need, ...] = ()
    if earlier and draw(st.integers(0, 4)) == 0:
        needs = (Need(draw(st.sampled_from(earlier)), draw(st.sampled_from(Level))),)
    told = draw(st.booleans())
    return WorkerSpec(
        name=name,
        restart=restart,
        shutdown=draw(st.sampled_from(["brutal_kill", 5.0, "infinity"])),
        significant=significant and restart is not Restart.PERMANENT and draw(st.booleans()),
        backoff=draw(LADDERS),
        told_ready=told,
        start_timeout=10.0 if told and draw(st.booleans()) else None,
        needs=needs,
    )


@st.composite
def supervisors(draw: Any, name: str, path: str, depth: int, earlier: list[str]) -> SupervisorSpec:
    strategy = draw(st.sampled_from(Strategy if depth else list(Strategy)[:3]))
    auto = draw(st.sampled_from([AutoShutdown.NEVER, *AutoShutdown]))
    significant = auto is not AutoShutdown.NEVER
    children: list[Any] = []
    count = 1 if strategy is Strategy.SIMPLE_ONE_FOR_ONE else draw(st.integers(0, 4))
    for place in range(count):
        child = f"{name}{NAMES[place]}"
        if depth < 2 and strategy is not Strategy.SIMPLE_ONE_FOR_ONE and draw(st.integers(0, 2)) == 0:
            children.append(draw(supervisors(child, f"{path}/{child}", depth + 1, earlier)))
        else:
            children.append(draw(workers(child, tuple(earlier), significant)))
            earlier.append(f"{path}/{child}")
    root = depth == 0
    return SupervisorSpec(
        name=name,
        strategy=strategy,
        intensity=draw(st.sampled_from([None, 0, 1, 3])) if not root else draw(st.sampled_from([None, None, 3])),
        period=5.0,
        auto_shutdown=auto,
        children=tuple(children),
        restart=draw(st.sampled_from(Restart)),
        shutdown="infinity" if root else draw(st.sampled_from(["brutal_kill", 2.0, "infinity"])),
        first_start=draw(st.sampled_from(["fail", "retry"])),
        backoff=draw(LADDERS),
        on_give_up=draw(st.sampled_from(["exit", "hold", 3.0])) if root else "exit",
    )


@st.composite
def trees(draw: Any) -> SupervisorSpec:
    return draw(supervisors("r", "r", 0, []))  # type: ignore[no-any-return]


class AnyTree(RuleBasedStateMachine):
    """Everything can happen."""

    shell: Shell
    otp = True
    """With what only OTP's API does: it may leave a child down that nobody then starts again."""

    @initialize(spec=trees())
    def plant(self, spec: SupervisorSpec) -> None:
        self.shell = Shell(spec)
        self.shell.start()

    # The world answers, in any order.

    def pick(self, draw: int, among: Any) -> Any:
        among = sorted(among)
        return among[draw % len(among)]

    @precondition(lambda self: self.shell.spawning)
    @rule(draw=st.integers(0, 99), outcome=st.sampled_from(["ok"] * 6 + ["failed", "ignored", "held"]))
    def answer_spawn(self, draw: int, outcome: str) -> None:
        path = self.pick(draw, self.shell.spawning)
        match outcome:
            case "ok":
                self.shell.spawned(path)
            case "failed":
                self.shell.spawn_failed(path)
            case "ignored" if self.otp:
                self.shell.ignored(path)
            case "ignored":
                self.shell.spawn_failed(path)
            case "held":
                self.shell.ignored(path, "require env X")

    @precondition(lambda self: self.shell.living)
    @rule(draw=st.integers(0, 99), how=st.sampled_from([CRASH, CRASH, DONE, TERM]))
    def any_exit(self, draw: int, how: ev.Exit) -> None:
        self.shell.exited(self.pick(draw, self.shell.living), how)

    @precondition(lambda self: bool(set(self.shell.stopping) & set(self.shell.living)))
    @rule(draw=st.integers(0, 99))
    def obeyed(self, draw: int) -> None:
        self.shell.exited(self.pick(draw, set(self.shell.stopping) & set(self.shell.living)), TERM)

    @precondition(lambda self: self.shell.living)
    @rule(draw=st.integers(0, 99))
    def says_ready(self, draw: int) -> None:
        self.shell.ready(self.pick(draw, self.shell.living))

    @precondition(lambda self: self.shell.living)
    @rule(draw=st.integers(0, 99), healthy=st.booleans())
    def health(self, draw: int, healthy: bool) -> None:
        path = self.pick(draw, self.shell.living)
        self.shell.tell(ev.HealthChanged(path, self.shell.living[path], healthy))

    @rule(draw=st.integers(0, 99))
    def killed(self, draw: int) -> None:
        path = self.pick(draw, self.shell.tree.nodes)
        if path != "r" or draw > 95:  # a killed root ends the history
            self.shell.tell(ev.KillRequested(path, self.shell.node(path).incarnation, "hung"))

    @precondition(lambda self: self.shell.timers)
    @rule()
    def time_passes(self) -> None:
        self.shell.fire(*min(self.shell.timers, key=lambda key: self.shell.timers[key]))

    @rule(seconds=st.sampled_from([0.5, 6.0, 61.0]))
    def advance(self, seconds: float) -> None:
        self.shell.now += seconds

    @rule()
    def all_answered(self) -> None:
        self.shell.answer()

    # Operators and the API.

    @rule(
        draw=st.integers(0, 99),
        kind=st.sampled_from(
            [ev.StopRequested, ev.StartRequested, ev.RestartRequested, ev.HoldRequested, ev.ReleaseRequested]
        ),
        tied=st.booleans(),
    )
    def request(self, draw: int, kind: type, tied: bool) -> None:
        path = self.pick(draw, self.shell.tree.nodes)
        more = {} if kind in (ev.HoldRequested, ev.ReleaseRequested) else {"tied": tied}
        if tied and kind is ev.StartRequested:
            self.shell.wished_down -= {one.path for one in supervising.tied_to(self.shell.node(path))}
        self.shell.request(kind, path, **more)

    @rule(draw=st.integers(0, 99))
    def gate_opened(self, draw: int) -> None:
        self.shell.tell(ev.GateOpened(self.pick(draw, self.shell.tree.nodes)))

    @rule(
        draw=st.integers(0, 99),
        kind=st.sampled_from([ev.TerminateChildCalled, ev.RestartChildCalled, ev.DeleteChildCalled]),
    )
    def call(self, draw: int, kind: type) -> None:
        path = self.pick(draw, self.shell.tree.nodes)
        supervisor, _, name = path.rpartition("/")
        if self.otp:
            self.shell.call(kind, supervisor or "r", name)

    @rule(draw=st.integers(0, 99), name=st.sampled_from("xyz"), restart=st.sampled_from(Restart))
    def start_child(self, draw: int, name: str, restart: Restart) -> None:
        sup = self.pick(draw, {path for path, node in self.shell.tree.nodes.items() if node.is_supervisor})
        shell = self.shell
        if not self.otp:
            return
        shell.requests += 1
        request = f"r{shell.requests}"
        shell.asked.add(request)
        shell.wished_down.discard(f"{sup}/{name}")
        if shell.node(sup).is_simple:
            shell.tell(ev.StartChildCalled(request, sup, instance=name))
        else:
            shell.tell(ev.StartChildCalled(request, sup, WorkerSpec(name=name, restart=restart)))

    @rule(data=st.data())
    def reconfigured(self, data: Any) -> None:
        shell = self.shell
        spec = _changed(data.draw, shell.tree.spec)
        restart = [path for path in sorted(shell.tree.nodes) if "/" in path and data.draw(st.integers(0, 5)) == 0]
        shell.requests += 1
        request = f"r{shell.requests}"
        shell.asked.add(request)
        shell.tell(ev.Reconfigured(request, spec, tuple(restart)))

    # What must hold.

    @invariant()
    def what_is_written_is_what_is(self) -> None:
        """At any point: whoever takes over from what was written down has the same tree, and goes on with it."""
        if hasattr(self, "shell"):
            self.shell.take_over()

    def teardown(self) -> None:
        if not hasattr(self, "shell"):
            return
        shell = self.shell
        if shell.ended is None:
            shell.settle()
        if shell.ended is None:
            if not self.otp:
                assert not stuck(shell)
            for request in shell.asked - shell.replies.keys():
                assert waits(shell, request), f"{request} never ends: {shell.tree.operations[request]}"
            shell.tell(ev.ShutdownRequested("bye"))
            shell.asked.add("bye")
            shell.answer()
            assert shell.ended is not None
        assert shell.asked == shell.replies.keys()
        assert not shell.living
        assert not shell.timers
        assert all(node.then is not Then.REMOVE for node in shell.tree.nodes.values())


def _changed(draw: Any, spec: SupervisorSpec) -> SupervisorSpec:
    """A tree file edited at random: children left out, moved, added, and settings changed."""
    children: list[Any] = []
    if spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
        return replace(spec, period=draw(st.sampled_from([5.0, 7.0])))
    for child in spec.children:
        match draw(st.integers(0, 7)):
            case 0:
                continue
            case 1:
                children.insert(0, child)
            case 2 if isinstance(child, WorkerSpec):
                children.append(SupervisorSpec(name=child.name, children=(WorkerSpec(name=f"{child.name}i"),)))
            case _:
                children.append(_changed(draw, child) if isinstance(child, SupervisorSpec) else child)
    new = f"{spec.name}n"
    if draw(st.booleans()) and all(child.name != new for child in children):
        children.insert(0, WorkerSpec(name=new))
    return replace(spec, children=tuple(children))


def stuck(shell: Shell) -> list[str]:
    """Who should run when nothing happens any more, and doesn't."""
    found = []
    for path, node in shell.tree.nodes.items():
        sup = node.parent
        if sup is None or sup.state is not State.UP or node.state is State.UP:
            continue
        down_for_a_reason = node.gate is not None or node.wish != "up" or node.completed or node.failed
        if sup.walk is not None or (node.listed and not down_for_a_reason):
            found.append(path)
    return found


class TreeOfAFile(AnyTree):
    """Without OTP's API: whoever should run does, once the world has answered and delays have passed."""

    otp = False


TestAnyTree = AnyTree.TestCase
TestTreeOfAFile = TreeOfAFile.TestCase
TestAnyTree.settings = TestTreeOfAFile.settings = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    # Shrinking a history of a whole tree takes minutes: the seed is printed, shrink by hand.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
