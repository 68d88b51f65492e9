"""Random scenarios in the language of the oracle, within what its README allows.

Left out as there: ignored restarts of `simple_one_for_one` children, terminating one that restarts, counting
with an exit queued behind; supervisors are killed only if all their children are workers. But times may
be near the edge of a window, which only a virtual clock can tell apart.
"""

from __future__ import annotations

from random import Random
from typing import Any

Json = dict[str, Any]
REASONS: list[Any] = ["crash", "crash", "normal", "shutdown", ["shutdown", "x"], "kill"]
RESTARTS = ["permanent", "permanent", "transient", "temporary"]


class Scenario:
    """One scenario, drawn from ``seed``."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.strategies: dict[str, str] = {}
        self.names: dict[str, list[str]] = {}
        """Of each supervisor: the ids of children that it has, had, or may get."""
        self.flat: set[str] = set()
        """Supervisors of workers only."""
        self.workers = iter(f"w{number}" for number in range(1, 100))
        self.nested = iter(["s1", "s2", "s3", "s4", "s5"])
        self.root = self.supervisor("root", 0)
        self.give_starts(self.root)
        self.steps = [self.step() for _ in range(self.draw.randint(3, 12))]

    def json(self) -> Json:
        return {"name": "random", "rule": "random", "root": self.root, "steps": self.steps}

    def chance(self, of_hundred: int) -> bool:
        return self.draw.randrange(100) < of_hundred

    # The tree.

    def supervisor(self, name: str, depth: int) -> Json:
        strategies = ["one_for_one", "one_for_all", "rest_for_one"]
        strategy = self.draw.choice([*strategies, "simple_one_for_one"] if depth else strategies)
        auto = self.draw.choice(["never", "never", "any_significant", "all_significant"])
        self.strategies[name], self.names[name] = strategy, []
        self.flat.add(name)
        children = []
        if strategy == "simple_one_for_one":
            children = [self.worker(f"t{name}", auto)]
            self.names[name] = [f"{name}d1", f"{name}d2", f"{name}d3"]
        for _ in range(0 if children else self.draw.randint(0, 4)):
            nested = next(self.nested, None) if depth < 2 and self.chance(30) else None
            child = self.nested_supervisor(nested, depth, auto) if nested else self.worker(next(self.workers), auto)
            if nested:
                self.flat.discard(name)
            children.append(child)
            self.names[name].append(child["id"])
        intensity, period = self.draw.choice([0, 1, 2, 4, 12]), self.draw.choice([1, 5, 10])
        return {
            "id": name, "type": "supervisor", "strategy": strategy, "intensity": intensity, "period": period,
            "auto_shutdown": auto, "children": children,
        }  # fmt: skip

    def nested_supervisor(self, name: str, depth: int, auto: str) -> Json:
        spec = self.supervisor(name, depth + 1)
        spec["restart"] = self.draw.choice(RESTARTS[1:])
        if auto != "never" and spec["restart"] != "permanent" and self.chance(40):
            spec["significant"] = True
        if name in self.flat and self.chance(50):
            spec["shutdown"] = self.draw.choice(["brutal_kill", 120, 5_000, "infinity"])
        return spec

    def worker(self, name: str, auto: str) -> Json:
        spec: Json = {"id": name, "restart": self.draw.choice(RESTARTS)}
        if (auto != "never" and spec["restart"] != "permanent" and self.chance(60)) or self.chance(1):
            spec["significant"] = True
        if self.chance(40):
            spec["shutdown"] = self.draw.choice(["brutal_kill", 100, 5000, "infinity"])
        obeys = self.draw.choice(["exit"] * 8 + [{"delay": 50}, {"delay": 150}, {"exit": "crash"}, "ignore"])
        if obeys != "exit" and not (obeys == "ignore" and spec.get("shutdown") == "infinity"):
            spec["on_shutdown"] = obeys
        return spec

    def give_starts(self, sup: Json) -> None:
        """Outcomes of the starts of what is below ``sup``; calls need to know all names."""
        for child in sup["children"]:
            if child.get("type") == "supervisor":
                if self.chance(20):
                    child["starts"] = self.outcomes(["ok", "ok", "error", "ignore"])
                self.give_starts(child)
            elif sup["strategy"] != "simple_one_for_one" and self.chance(50):
                calls = {"outcome": "error", "calls": [self.call(sup["id"]) for _ in range(self.draw.randint(1, 3))]}
                child["starts"] = ["ok", *self.outcomes(["ok", "ok", "error", "error", "ignore", calls])]
                if self.chance(20):
                    child["starts"].pop(0)

    def outcomes(self, among: list[Any]) -> list[Any]:
        return [self.draw.choice(among) for _ in range(self.draw.randint(1, 4))]

    # The steps.

    def step(self) -> Json:
        sup = self.draw.choice(list(self.strategies))
        match self.draw.choice(["exit"] * 4 + ["kill", "advance"] + ["call"] * 3 + ["burst"] * 3):
            case "exit":
                return self.exit(self.draw.choice(self.names[sup] or ["nobody"]))
            case "kill" if sup in self.flat and sup != "root":
                return {"op": "exit", "id": sup, "reason": "kill"}
            case "burst":
                return {"op": "burst", "sup": sup, "items": self.burst(sup)}
            case "call":
                return self.call(sup, alone=True)
        return {"op": "advance", "ms": self.draw.choice([700, 4_000, 12_000])}

    def exit(self, name: str) -> Json:
        supervisor = name in self.strategies
        if supervisor and name not in self.flat:
            name, supervisor = "nobody", False
        return {"op": "exit", "id": name, "reason": "kill" if supervisor else self.draw.choice(REASONS)}

    def burst(self, sup: str) -> list[Json]:
        items = []
        for _ in range(self.draw.randint(2, 4)):
            names = self.names[sup]
            items.append(self.exit(self.draw.choice(names)) if names and self.chance(60) else self.call(sup))
        for place, item in enumerate(items):
            if item["op"] == "count_children" and any(later["op"] == "exit" for later in items[place:]):
                items[place] = {"op": "which_children", "sup": sup}
        return items

    def call(self, sup: str, *, alone: bool = False) -> Json:
        """A call on ``sup``; ``alone``: not while anything happens, so that nobody is restarting."""
        calls = ["which_children", "count_children", "start_child", "terminate_child", "restart_child", "delete_child"]
        op = self.draw.choice(calls)
        simple = self.strategies[sup] == "simple_one_for_one"
        if op in ("which_children", "count_children") or (simple and not alone and op == "terminate_child"):
            return {"op": "which_children" if simple else op, "sup": sup}
        name = self.draw.choice(self.names[sup] or ["nobody"])
        if op != "start_child":
            return {"op": op, "sup": sup, "id": name}
        if simple:
            call = {"op": op, "sup": sup, "id": name}
            return {**call, "starts": self.outcomes(["ok", "ok", "error"])} if self.chance(30) else call
        if self.chance(50) or name == "nobody" or name in self.strategies:
            name = next(self.workers)
            self.names[sup].append(name)
        child: Json = {"id": name, "restart": self.draw.choice(RESTARTS)}
        if self.chance(30):
            child["starts"] = self.outcomes(["ok", "ok", "error", "ignore"])
        nested = next(self.nested, None) if sup not in self.flat and self.chance(20) else None
        if nested is not None:
            child = self.nested_supervisor(nested, 1, "never")
            self.names[sup].append(nested)
        return {"op": op, "sup": sup, "child": child}
