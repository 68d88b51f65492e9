"""Arguments from a tree file, checked against what a worker's author has annotated."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest

from supervisor_tree.workers import ArgsError, TickWorker, Worker
from supervisor_tree.workers.args import checked, of_class, of_function


class Inner(msgspec.Struct):
    host: str
    port: Annotated[int, msgspec.Meta(gt=0)] = 80


class Args(msgspec.Struct, kw_only=True):
    url: str
    every: float = 30.0
    mode: Literal["fast", "slow"] = "fast"
    to: Path | None = None
    servers: list[Inner] = []
    by_name: dict[str, Inner] = {}
    first: Inner | None = None


@dataclass
class Dataclass:
    n: int
    tags: list[str] = field(default_factory=list)


class Typed(TypedDict, total=False):
    n: int


class Renamed(msgspec.Struct, rename="kebab"):
    tick_interval: float


class Tagged(msgspec.Struct, tag_field="kind", tag="tagged"):
    n: int


class Feed(Worker):
    args: Args


class Heir(Feed):
    """Takes what its parent takes."""


class Nested(Worker):
    class Args(msgspec.Struct):
        n: int

    args: Args


class Bare(Worker):
    pass


class Unresolved(Worker):
    args: NoSuchType  # type: ignore[name-defined]  # noqa: F821


def with_args(kind: Any) -> type[Worker]:
    return type("Made", (Worker,), {"__annotations__": {"args": kind}, "__module__": __name__})


def test_a_struct_is_made() -> None:
    args = of_class(Feed, {"url": "x", "every": 5, "to": "data", "servers": [{"host": "a"}]})
    assert args == Args(url="x", every=5.0, to=Path("data"), servers=[Inner("a")])
    assert of_class(Heir, {"url": "x"}) == Args(url="x")
    assert of_class(Nested, {"n": 1}).n == 1


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        (Dataclass, Dataclass(1)),
        (Typed, {"n": 1}),
        (dict, {"n": 1}),
        (dict[str, Any], {"n": 1}),
        (dict[str, int], {"n": 1}),
        (Any, {"n": 1}),
        (Tagged, Tagged(1)),
    ],
)
def test_other_kinds_are_made_too(kind: Any, made: object) -> None:
    assert of_class(with_args(kind), {"n": 1}) == made


@pytest.mark.parametrize("kind", [Bare, Worker, TickWorker])
def test_without_an_annotation_they_stay_as_they_are(kind: type) -> None:
    args = {"anything": [1, {}]}
    assert of_class(kind, args) is args


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "args.url: is needed, and not given"),
        ({"url": 1}, "args.url: Expected `str`, got `int`"),
        ({"url": "x", "every": "often"}, "args.every: Expected `float`, got `str`"),
        ({"url": "x", "evry": 1}, "args.evry: unknown; did you mean every?"),
        (
            {"url": "x", "zzz": 1},
            "args.zzz: unknown; there are url, every, mode, to, servers, by_name, first",
        ),
        ({"url": "x", "mode": "medium"}, "args.mode: Invalid enum value 'medium'"),
        ({"url": "x", "servers": [{"host": "a", "port": 0}]}, "args.servers[0].port: Expected `int` >= 1"),
        ({"url": "x", "servers": [{"host": "a"}, {}]}, "args.servers[1].host: is needed, and not given"),
        ({"url": "x", "servers": [{"hots": "a"}]}, "args.servers[0].hots: unknown; did you mean host?"),
        ({"url": "x", "by_name": {"a": {"hots": 1}}}, "args.by_name.a.hots: unknown; did you mean host?"),
        ({"url": "x", "first": {"hots": 1}}, "args.first.hots: unknown; did you mean host?"),
        ({"url": "x", "to": 3}, "args.to: Expected a path, got `int`"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_place(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgsError) as caught:
        of_class(Feed, args)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_renamed_key_is_known_by_its_name_in_the_file() -> None:
    kind = with_args(Renamed)
    assert of_class(kind, {"tick-interval": 1}).tick_interval == 1
    with pytest.raises(ArgsError, match=r"args\.tick_interval: unknown; did you mean tick-interval\?"):
        of_class(kind, {"tick_interval": 1})


def test_an_annotation_that_can_not_be_read_is_one_line() -> None:
    with pytest.raises(ArgsError, match=r"annotations of Unresolved\.args can't be read: name 'NoSuchType' is not"):
        of_class(Unresolved, {})
    with pytest.raises(ArgsError, match="is no type that arguments can be checked against"):
        of_class(with_args(Annotated[list[int] | set[int], 1]), {})


# --- functions


def plain(port: int, host: str = "localhost", *, ratio: float = 1.0) -> None: ...


def loose(a, b=2, **rest: int) -> None: ...  # type: ignore[no-untyped-def]


def by_position(a: int, /, b: int = 1) -> None: ...


def positional_default(a: int = 1, /, b: int = 1) -> None: ...


def unresolved(a: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Greeter:
    def __call__(self, inner: Inner) -> None: ...

    def method(self, inner: Inner) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "taken"),
    [
        (plain, {"port": 1}, {"port": 1}),
        (plain, {"port": 1, "ratio": 2}, {"port": 1, "ratio": 2.0}),
        (loose, {"a": [1], "c": 3}, {"a": [1], "c": 3}),
        (positional_default, {"b": 2}, {"b": 2}),
        (functools.partial(plain, host="h"), {"port": 1}, {"port": 1}),
        (Greeter(), {"inner": {"host": "a"}}, {"inner": Inner("a")}),
        (Greeter().method, {"inner": {"host": "a"}}, {"inner": Inner("a")}),
        (lambda x: None, {"x": 1}, {"x": 1}),
    ],
)
def test_arguments_of_a_function_go_by_name(
    function: Callable[..., Any], args: dict[str, Any], taken: dict[str, Any]
) -> None:
    assert of_function(function, args) == taken


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        (plain, {}, "args.port: is needed, and not given"),
        (plain, {"port": 1.5}, "args.port: Expected `int`, got `float`"),
        (plain, {"port": True}, "args.port: Expected `int`, got `bool`"),
        (plain, {"port": None}, "args.port: Expected `int`, got `null`"),
        (plain, {"port": 1, "hots": "x"}, "args.hots: unknown; did you mean host?"),
        (lambda: None, {"x": 1}, "args.x: unknown; there are none"),
        (loose, {"a": 1, "c": "x"}, "args.c: Expected `int`, got `str`"),
        (by_position, {"a": 1}, "args.a: can't be given, because args go by name and this parameter does not"),
        (Greeter(), {"inner": {}}, "args.inner.host: is needed, and not given"),
        (
            unresolved,
            {"a": 1},
            "args: the annotations of unresolved() can't be read: name 'NoSuchType' is not defined.",
        ),
    ],
)
def test_arguments_that_a_function_does_not_take_are_one_line(
    function: Callable[..., Any], args: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArgsError) as caught:
        of_function(function, args)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("60", int, 60),
        ("0.5", float, 0.5),
        ("true", bool, True),
        ("0", bool, False),
        ("60", int | None, 60),
        ("60", str | int, "60"),
        ("60", Annotated[int, msgspec.Meta(gt=0)], 60),
    ],
)
def test_a_number_may_be_written_as_text(text: str, kind: Any, value: object) -> None:
    """``args = { every = "${EVERY:-60}" }``: what a variable stands for is always text."""
    assert checked(text, kind, "args.x") == value


# --- what it costs


HEAVY = {
    "asyncio",
    "zmq",
    "msgspec",
    "inspect",
    "dataclasses",
    "typing",
    "logging",
    "json",
    "socket",
    "threading",
    "re",
}


def imported(code: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "from supervisor_tree.workers import Worker, TickWorker, ArgsError, beat, activity, ready, stopping",
        "from supervisor_tree import Worker, TickWorker, beat, activity, ready, stopping",
        "from supervisor_tree.workers import ShimWorker",
    ],
)
def test_importing_the_api_costs_nothing(code: str) -> None:
    ours = imported(code)
    assert not HEAVY & ours
    assert {name for name in ours if name.startswith("supervisor_tree.")} <= {
        "supervisor_tree.workers",
        "supervisor_tree.workers.args",
        "supervisor_tree.workers.functions",
        "supervisor_tree.workers.life",
        "supervisor_tree.workers.life.present",
        "supervisor_tree.workers.shim",
        "supervisor_tree.workers.shim.worker",
        "supervisor_tree.workers.tick",
        "supervisor_tree.workers.worker",
    }


def test_a_plain_function_runs_without_asyncio_and_msgspec() -> None:
    code = (
        "from supervisor_tree.workers.life import live; sys.modules['m'] = type(sys)('m'); "
        "exec('def f(n: int): pass', sys.modules['m'].__dict__); assert live('m:f', None, {'n': 1}) == 0"
    )
    assert not {"msgspec", "zmq", "psutil", "multiprocess"} & imported(code)


def test_a_fork_of_a_warm_process_imports_nothing_more() -> None:
    module = """
import supervisor_tree, msgspec, sys
class Args(msgspec.Struct): n: int
class W(supervisor_tree.TickWorker):
    args: Args
    interval = 0.01
    def tick(self):
        supervisor_tree.beat("x")
        if self.ticks == 2: raise ValueError
        if self.ticks == 3: raise SystemExit(0)
"""
    code = (
        "from supervisor_tree.workers.life import live, warm; sys.modules['m'] = type(sys)('m'); "
        f"exec({module!r}, sys.modules['m'].__dict__); import linecache, traceback; before = set(sys.modules); "
        "assert live('m:W', None, {'n': 1}) == 0; more = set(sys.modules) - before; sys.modules.clear(); "
        "sys.modules.update(dict.fromkeys(more))"
    )
    assert imported(code) == set()
