"""Test a tree of your own in pytest, without a process and without waiting.

    from supervisor_tree.testing import SimulatedTree

    def test_the_bot_waits_for_its_feed() -> None:
        tree = SimulatedTree.load("tree.toml").start()
        tree.kill("uw-daemon")
        assert tree["uw-daemon"].state == "backoff"
        tree.advance("10s")
        assert tree["uw-daemon"].state == "running"

What decides is the core that runs real trees; only processes and clock are make-believe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor_tree.testing.seen import Line, SimulationError
    from supervisor_tree.testing.simulated import SimulatedTree

__all__ = ["Line", "SimulatedTree", "SimulationError"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from supervisor_tree.testing import seen, simulated

        return getattr(simulated if name == "SimulatedTree" else seen, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
