"""Order, names, needs, instances: how children come to their places (rules 3, 8, 14, 18)."""

# ruff: noqa: E501 - golden texts stand on one line, as users see them

from __future__ import annotations

from typing import Any

import pytest

from supervisor_tree import config
from supervisor_tree.core.spec import AutoShutdown, Backoff, Level, Need, Restart, Strategy, SupervisorSpec, WorkerSpec
from tests.unit.config.conftest import Bad, Good


def shape(spec: SupervisorSpec | WorkerSpec) -> Any:
    if isinstance(spec, WorkerSpec):
        return spec.name
    return {spec.name: [shape(child) for child in spec.children]}


def children(plan: config.Plan) -> Any:
    return shape(plan.root)["root"]


def workers(*names: str) -> str:
    return "".join(f"[workers.{name}]\ncommand = 'true'\n" for name in names)


def test_the_order_is_that_of_the_headers_both_kinds_mixed(good: Good) -> None:
    plan = good(
        workers("b")
        + "[supervisors.s]\nchildren = ['c']\n"
        + workers("a", "c")
        + "[supervisors.e]\n"
        + "[workers.d.env]\nX = '1'\n[workers.z]\ncommand='x'\n[workers.d]\ncommand='y'\n"
    )
    assert children(plan) == ["b", {"s": ["c"]}, "a", {"e": []}, "d", "z"]


def test_the_order_survives_strings_that_look_like_headers(good: Good) -> None:
    plan = good(
        """
        x = '''
        [workers.late]
        [supervisors.early]
        '''
        [supervisors.early]
        [workers.late]
        command = "true"
        """.replace("x = '''", "x.y = '''")
    )
    assert children(plan) == [{"early": []}, "late"]


def test_the_order_of_names_without_headers(good: Good) -> None:
    plan = good(
        "workers.b.command = 'x'\nsupervisors.s.children = []\nworkers = { }\n".replace(
            "workers = { }\n", "workers.a.command = 'x'\n"
        )
    )
    assert children(plan) == ["b", {"s": []}, "a"]


def test_the_order_over_files(good: Good) -> None:
    plan = good(workers("b", "a"), "[supervisors.s]\n" + workers("c") + "[workers.b]\nnice = 1\n")
    assert children(plan) == ["b", "a", {"s": []}, "c"]


def test_children_of_the_root_as_written(good: Good) -> None:
    plan = good("[tree]\nchildren = ['c', 'a']\n" + workers("a", "b", "c"))
    assert children(plan) == ["c", "a"]
    assert [(one.key, one.message) for one in plan.warnings] == [
        ("workers.b", "is in no list of children, so it is no part of the tree")
    ]
    assert "b" not in plan.workers


def test_lists_of_children_that_are_wrong(bad: Bad) -> None:
    assert bad(
        """
        [supervisors.s]
        children = ["a", "t", "a", "s", "tt"]
        [supervisors.t]
        children = ["b", "a"]
        [workers.a]
        command = "true"
        [workers.b]
        command = "true"
        [jobs.j]
        command = "true"
        [supervisors.u]
        children = [
            "j",
            "v",
        ]
        [supervisors.v]
        children = "u"
        """
    ) == [
        'tree.toml:3: supervisors.s.children[2]: "a" is named twice: already here',
        'tree.toml:3: supervisors.s.children[3]: "s" can\'t be its own child',
        'tree.toml:3: supervisors.s.children[4]: there is no worker or supervisor "tt" (did you mean "t"?)',
        'tree.toml:5: supervisors.t.children[1]: "a" is named twice: already by supervisors.s',
        "tree.toml:13: supervisors.u.children: is below itself: v → u → v",
        'tree.toml:14: supervisors.u.children[0]: "j" is a job, and jobs belong to no supervisor',
        "tree.toml:18: supervisors.v.children: is below itself: u → v → u",
    ]


def test_the_core_gets_what_is_written(good: Good) -> None:
    plan = good(
        """
        [tree]
        strategy = "rest_for_one"
        auto_shutdown = "any_significant"
        [supervisors.s]
        strategy = "one_for_all"
        intensity = 2
        period = "5s"
        shutdown = "30s"
        backoff = "0s"
        children = "b"
        [workers.a]
        command = "x"
        restart = "transient"
        significant = true
        shutdown = "brutal_kill"
        backoff = "3s"
        ready = { notify = true }
        start_timeout = "7s"
        [workers.b]
        command = "x"
        """
    )
    default = Backoff(first=0, initial=1, factor=2, max=300, jitter=0.1, reset=300)
    assert plan.root == SupervisorSpec(
        name="root",
        strategy=Strategy.REST_FOR_ONE,
        intensity=None,
        period=60,
        auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        first_start="retry",
        on_give_up="hold",
        children=(
            SupervisorSpec(
                name="s",
                strategy=Strategy.ONE_FOR_ALL,
                intensity=2,
                period=5,
                shutdown=30,
                first_start="retry",
                backoff=Backoff(reset=300),
                children=(WorkerSpec(name="b", shutdown=10, backoff=default),),
            ),
            WorkerSpec(
                name="a",
                restart=Restart.TRANSIENT,
                significant=True,
                shutdown="brutal_kill",
                backoff=Backoff(first=3, initial=3, factor=1, max=3, jitter=0, reset=300),
                told_ready=True,
                start_timeout=7,
            ),
        ),
    )
    assert plan.paths == {"root": "root", "s": "root/s", "b": "root/s/b", "a": "root/a"}


def test_the_defaults_of_supervisors(good: Good) -> None:
    plan = good("[tree]\nintensity = 3\non_give_up = '5m'\n[supervisors.s]\n")
    (supervisor,) = plan.root.children
    assert isinstance(supervisor, SupervisorSpec)
    assert (supervisor.intensity, supervisor.period, supervisor.shutdown) == (5, 60, "infinity")
    assert (plan.root.intensity, plan.root.period, plan.root.on_give_up) == (3, 60, 300)


def test_on_give_up_without_an_intensity_has_no_effect(good: Good) -> None:
    (warning,) = good("[tree]\non_give_up = 'exit'\n").warnings
    assert (warning.line, warning.message) == (2, "has no effect without `intensity`: the root never gives up")


def test_instances_are_expanded_in_place(good: Good) -> None:
    plan = good(
        """
        [workers.a]
        command = "true"
        [workers.web]
        instances = [8001, "x-2"]
        command = "serve ${self.instance}"
        [workers.pool]
        instances = 2
        command = "true"
        [supervisors.s]
        children = ["web"]
        """
    )
    assert children(plan) == ["a", "pool@1", "pool@2", {"s": ["web@8001", "web@x-2"]}]
    assert plan.sets == {"web": ("web@8001", "web@x-2"), "pool": ("pool@1", "pool@2")}
    assert config.names_of(plan, "web") == ["web@8001", "web@x-2"]
    assert config.names_of(plan, "web@8001") == ["web@8001"]
    assert config.names_of(plan, "s") == ["s"]
    assert config.names_of(plan, "none") == []
    assert config.path_of(plan, "web@8001") == "root/s/web@8001"
    assert config.name_of("root/s/web@8001") == "web@8001"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "must be from 1 to 10000 (enabled = false leaves the table out)"),
        ("[]", "must be a number N (1 … N) or a list of names, not empty"),
        ("true", "must be a number N (1 … N) or a list of names, not true"),
    ],
)
def test_instances_that_are_none(bad: Bad, value: str, said: str) -> None:
    assert bad(f"[workers.a]\ncommand = 'true'\ninstances = {value}\n") == [f"tree.toml:3: workers.a.instances: {said}"]


def test_one_of_several_instances_cannot_be_placed_alone(bad: Bad) -> None:
    assert bad("[tree]\nchildren = 'a@1'\n[workers.a]\ncommand = 'true'\ninstances = 2\n") == [
        'tree.toml:2: tree.children: "a@1" is one of several instances, which stay together: write "a"'
    ]


def test_needs_become_paths(good: Good) -> None:
    plan = good(
        """
        [supervisors.s]
        children = ["a", "b"]
        [workers.a]
        command = "true"
        [workers.b]
        command = "true"
        needs = { a = "ready" }
        [workers.web]
        instances = 2
        command = "true"
        [workers.c]
        command = "true"
        needs = { s = "healthy", web = "started", "web@1" = "completed" }
        """
    )
    specs = {child.name: child for child in plan.root.children}
    last = specs["c"]
    assert isinstance(last, WorkerSpec)
    assert last.needs == (
        Need("root/s/a", Level.HEALTHY),
        Need("root/s/b", Level.HEALTHY),
        Need("root/web@1", Level.STARTED),
        Need("root/web@2", Level.STARTED),
        Need("root/web@1", Level.COMPLETED),
    )


def test_needs_point_backwards_and_the_error_names_the_order_to_write(bad: Bad) -> None:
    assert bad(
        """
        [workers.a]
        command = "true"
        needs = { c = "ready", a = "ready" }
        [workers.web]
        instances = 2
        command = "true"
        needs = { "web@1" = "ready" }
        [workers.c]
        command = "true"
        [supervisors.s]
        children = ["p", "q", "r"]
        [workers.p]
        command = "true"
        needs.r = "ready"
        needs.s = "ready"
        needs.t = "ready"
        [workers.q]
        command = "true"
        [workers.r]
        command = "true"
        [supervisors.t]
        children = ["u", "v"]
        [workers.u]
        command = "true"
        needs.v = "ready"
        [workers.v]
        command = "true"
        needs.u = "ready"
        [workers.w]
        command = "true"
        needs.nobody = "ready"
        needs.j = "completed"
        needs.off = "ready"
        [workers.off]
        command = "true"
        enabled = false
        [jobs.j]
        command = "true"
        needs = { wv = "ready", w = "ready" }
        """
    ) == [
        "tree.toml:4: workers.a.needs.a: a worker can't need itself",
        'tree.toml:4: workers.a.needs.c: "c" comes later in the tree: write [workers.c] above [workers.a]',
        "tree.toml:8: workers.web.needs.web@1: instances can't need one another",
        'tree.toml:15: workers.p.needs.r: "r" comes later in the tree: write children = ["r", "p", "q"] in [supervisors.s]',
        'tree.toml:16: workers.p.needs.s: "s" is a supervisor above it, which waits for its children already',
        'tree.toml:17: workers.p.needs.t: "t" comes later in the tree: write [supervisors.t] above [supervisors.s]',
        'tree.toml:26: workers.u.needs.v: "v" needs "u" as well: neither could ever start',
        'tree.toml:32: workers.w.needs.nobody: there is no worker or supervisor "nobody"',
        'tree.toml:33: workers.w.needs.j: "j" is a job; only workers and supervisors can be needed',
        'tree.toml:34: workers.w.needs.off: "off" is left out by enabled = false',
        'tree.toml:40: jobs.j.needs.wv: there is no worker or supervisor "wv" (did you mean "w"?)',
    ]


def test_significant_children_as_in_otp(bad: Bad) -> None:
    assert bad(
        """
        [tree]
        auto_shutdown = "any_significant"
        [workers.a]
        command = "true"
        significant = true
        [supervisors.s]
        children = ["b"]
        [workers.b]
        command = "true"
        restart = "temporary"
        significant = true
        """
    ) == [
        (
            'tree.toml:6: workers.a.significant: a permanent child never ends for good: write restart = "transient" or'
            ' "temporary" beside it'
        ),
        (
            "tree.toml:12: workers.b.significant: has no effect, for [supervisors.s] has no auto_shutdown: write auto_shutdown ="
            ' "any_significant" there'
        ),
    ]


def test_disabled_is_as_if_not_written(good: Good) -> None:
    plan = good(
        """
        [supervisors.s]
        children = ["a", "b"]
        [workers.a]
        command = "true"
        [workers.b]
        comand = 3
        enabled = false
        """
    )
    assert children(plan) == [{"s": ["a"]}]


def test_autostart(good: Good) -> None:
    plan = good("[workers.a]\ncommand='x'\nautostart = false\n[workers.b]\ncommand='x'\n")
    assert plan.autostart_off == ("a",)
    assert children(plan) == ["a", "b"]


def test_a_tree_of_too_many_levels(bad: Bad) -> None:
    text = "".join(f"[supervisors.s{n}]\nchildren = ['s{n + 1}']\n" for n in range(2000)) + "[supervisors.s2000]\n"
    errors = bad(text)
    assert errors == ["tree.toml:119: supervisors.s59: is deeper in the tree than 60 supervisors"]


def test_only_some_and_what_they_need(good: Good) -> None:
    text = """
        [workers.db]
        command = "true"
        [workers.web]
        instances = 2
        command = "true"
        needs = { db = "ready" }
        [supervisors.s]
        strategy = "rest_for_one"
        children = ["a", "b", "c"]
        [workers.a]
        command = "true"
        [workers.b]
        command = "true"
        [workers.c]
        command = "true"
        """
    assert children(good(text, only=("b",))) == [{"s": ["a", "b"]}]
    assert children(good(text, only=("web",))) == ["db", "web@1", "web@2"]
    assert children(good(text, only=("web@2",))) == ["db", "web@2"]
    assert children(good(text, only=("s", "db"))) == ["db", {"s": ["a", "b", "c"]}]
    with pytest.raises(config.UnknownName, match=r'there is no worker, supervisor or job "wbe" \(did you mean "web'):
        good(text, only=("wbe",))


def test_templates(good: Good, bad: Bad) -> None:
    plan = good(
        """
        [supervisors.fetchers]
        strategy = "simple_one_for_one"
        children = ["fetch"]
        [supervisors.before]
        children = ["one", "two"]
        [workers.one]
        command = "x"
        [workers.two]
        command = "x"
        [tree]
        children = ["before", "fetchers"]
        [workers.fetch]
        command = "fetch ${self.instance}"
        needs = { before = "ready" }
        log = { file = "${self.name}.log" }
        """
    )
    assert children(plan) == [{"before": ["one", "two"]}, {"fetchers": ["fetch"]}]
    assert "fetch" not in plan.paths
    settings, spec = config.template(plan, "fetchers", "abc", ["--fast"])
    assert (settings.name, settings.command, spec.name) == ("fetch@abc", ("fetch", "abc", "--fast"), "fetch@abc")
    assert spec.needs == (Need("root/before/one", Level.READY), Need("root/before/two", Level.READY))
    assert config.log_settings(plan, "fetch@abc")["out"]["path"] == f"{plan.dir}/fetch@abc.log"
    with pytest.raises(config.ConfigError, match="is no supervisor with simple_one_for_one"):
        config.template(plan, "nobody", "x")
    with pytest.raises(config.ConfigError, match="is no name of an instance"):
        config.template(plan, "fetchers", "a b")
    assert bad("[tree]\nstrategy = 'simple_one_for_one'\n") == [
        "tree.toml:2: tree.strategy: can't be the root's: give it to a supervisor below, [supervisors.NAME]"
    ]
    assert bad("[supervisors.s]\nstrategy = 'simple_one_for_one'\nchildren = ['a', 'b']\n" + workers("a", "b")) == [
        "tree.toml:3: supervisors.s.children: must name exactly one worker, the template of simple_one_for_one"
    ]


def test_includes_merge(good: Good, bad: Bad, tmp_path: Any) -> None:
    (tmp_path / "local.toml").write_text("[workers.a]\nenv = { B = 'two', C = 'three' }\nsuccess = [3]\n")
    text = """
        [tree]
        include = ["?local.toml", "?none.toml"]
        [workers.a]
        command = "true"
        env = { A = "one", B = "one" }
        success = [1, 2]
        """
    worker = good(text).workers["a"]
    assert worker.env == {"A": "one", "B": "two", "C": "three"}
    assert worker.success == (3,)
    assert bad("[tree]\ninclude = ['none.toml']\n") == [
        "tree.toml:2: tree.include[0]: can't read none.toml: No such file or directory"
    ]
    assert bad("[tree]\ninclude = 'tree.toml'\n") == ["tree.toml:2: tree.include: tree.toml includes itself"]
    (tmp_path / "local.toml").write_text("[workers.b]\nnice = 'x'\n")
    assert bad(text) == [
        "local.toml:1: workers.b: names no program: write exactly one of command, run, use",
        'local.toml:2: workers.b.nice: must be a whole number from -20 to 19, not "x"',
    ]


def test_two_children_with_one_log_are_refused(good: Good, bad: Bad) -> None:
    assert bad(
        """
        [workers.a]
        command = "true"
        log = { file = "x.log", stderr = "x.log" }
        [workers.b]
        command = "true"
        log = { file = "y.log", stderr = "./sub/../x.log" }
        [workers.web]
        command = "true"
        instances = 2
        log = { file = "web.log" }
        """
    ) == [
        'tree.toml:7: workers.b.log.stderr: "a" writes ./sub/../x.log already: give each a file of its own'.replace(
            "./sub", "sub"
        ),
        'tree.toml:11: workers.web.log.file: "web@1" and "web@2" would both write web.log: put ${self.instance} in its name',
    ]
    plan = good(
        "[workers.a]\ncommand='x'\nlog = { file = 'x.log', stderr = 'x.log', on_full = 'block' }\n[logs]\nkeep = 2\n"
    )
    out = {"path": f"{plan.dir}/x.log", "max_size": 50_000_000, "keep": 2, "max_age": None, "on_full": "block"}
    assert config.log_settings(plan, "a") == {"out": out, "err": None, "merge": True}


def test_defaults(good: Good) -> None:
    plan = good(
        """
        [defaults]
        shutdown = "3s"
        restart = "transient"
        timezone = "America/New_York"
        backoff = { initial = "5s", max = "1m" }
        env = { A = "${self.name}", B = "b" }
        log = { file = "all/${self.name}.log", keep = 1 }
        shell = true
        [workers.a]
        command = "x && y"
        env = { B = "own" }
        backoff = { max = "2m" }
        [workers.b]
        command = "x"
        shell = false
        shutdown = "infinity"
        log = { keep = 9 }
        [jobs.j]
        command = "x"
        """
    )
    a, b = plan.workers["a"], plan.workers["b"]
    assert (a.shutdown, a.restart, a.command) == (3, "transient", ("/bin/sh", "-c", "x && y"))
    assert (a.backoff.initial, a.backoff.max, a.backoff.factor) == (5, 120, 2)
    assert (b.shutdown, b.command, b.backoff.max) == ("infinity", ("x",), 60)
    assert config.program(plan, "a").env == {"A": "a", "B": "own"}
    assert config.program(plan, "b").env == {"A": "b", "B": "b"}
    assert (a.log and a.log.file, a.log and a.log.keep) == (f"{plan.dir}/all/a.log", 1)
    assert (b.log and b.log.file, b.log and b.log.keep) == (f"{plan.dir}/all/b.log", 9)
    assert plan.jobs["j"].timezone == "America/New_York"
    assert plan.jobs["j"].shutdown == 3
