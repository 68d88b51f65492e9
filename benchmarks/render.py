"""The report: tables for a reader who wants to know how fast, beside what, and whether the targets are met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.results import Results

_FLOOR = "floor"
_OURS = "supervisor-tree"
_ZYGOTE = "supervisor-tree, zygote"
_BEATING = "supervisor-tree, beating"
_REALTIME = (
    " The machine was shared: all systems and all children ran in the real-time class (SCHED_RR), so that other work "
    "took no processor from any of them (--realtime)."
)


class Target(NamedTuple):
    """What ours has to reach: of the median (or p95) of ``measure``, at most or at least ``limit``, which is a
    multiple of the floor's median if ``of_floor``."""

    label: str
    measure: str
    limit: float
    of_floor: bool = False
    p95: bool = False
    at_least: bool = False
    unit: str = "ms"
    system: str = "supervisor-tree"


TARGETS = [
    Target("kill -9 one of 100 → first instruction of its replacement", "restart", 2, of_floor=True),
    Target("… its p95", "restart", 4, of_floor=True, p95=True),
    Target("the same child again at once", "restart_hot", 2, of_floor=True),
    Target("… its p95", "restart_hot", 4, of_floor=True, p95=True),
    Target("kill -9 all of 100 → all back", "storm_100", 2, of_floor=True),
    Target("kill -9 all of 1,000 → all back", "storm_1000", 2, of_floor=True),
    Target("start of 100, command to all running", "start_100", 250),
    Target("start of 1,000", "start_1000", 900),
    Target("graceful stop of 100, in order", "stop_100", 60),
    Target("CPU of the idle tree, 1,000 workers, a minute", "idle_1000_s", 0.02, unit="s"),
    Target("`status` of 100, whole process", "status", 60),
    Target("200 MB of lines, one writer", "log_1_mbs", 0.8, of_floor=True, at_least=True, unit="MB/s"),
    Target("200 MB of lines, 50 writers", "log_50_mbs", 0.8, of_floor=True, at_least=True, unit="MB/s"),
    Target("memory (PSS), 100 workers", "memory_100_mb", 60, unit="MB"),
    Target("memory (PSS), 1,000 workers", "memory_1000_mb", 80, unit="MB"),
    Target("10,000 workers beat once a second: the root", "beats_10000_root_cores", 0.5, unit="cores", system=_BEATING),
]


def markdown(results: Results) -> str:
    parts = [
        _head(results),
        _targets(results),
        _times(
            results,
            "Restart of one of 100",
            {
                "killed when up for long": "restart",
                "the same child again at once": "restart_hot",
            },
        ),
        _times(results, "Kill of all at once", {"100": "storm_100", "1,000": "storm_1000"}),
        _times(
            results,
            "Start, from the command to the last child's first instruction",
            {
                "100": "start_100",
                "1,000": "start_1000",
            },
        ),
        _times(
            results,
            "Graceful stop of 100, and the whole process of `status`",
            {
                "stop: everything gone": "stop_100",
                "status": "status",
            },
            note="The floor's `status` is `python -c pass`: no command written in Python is faster.",
        ),
        _python(results),
        _beating(results),
        _idle_and_memory(results),
        _logs(results),
        _orphans(results),
        _curve(results),
        _configurations(results),
        _failures(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def number(value: float | None, unit: str = "ms") -> str:
    """Three significant digits with the unit that reads best."""
    if value is None:
        return "–"
    if unit == "ms" and value >= 1000:
        value, unit = value / 1000, "s"
    if value >= 100:
        text = f"{value:,.0f}"
    elif value >= 10:
        text = f"{value:.1f}"
    else:
        text = f"{value:.3f}" if unit in ("s", "cores") else f"{value:.2f}"
    return f"{text} {unit}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _head(results: Results) -> str:
    about = results.about
    systems = (
        table(
            ("system", "version", "what bounds it"),
            [(name, facts["version"], facts["bound"]) for name, facts in results.systems.items()],
        )
        if results.systems
        else ""
    )
    absent = "".join(f"\n\nNot measured: {name} ({why})." for name, why in results.absent.items())
    return (
        "# Benchmarks\n\n"
        f"Made by `make bench`{' (--quick)' if about.get('quick') else ''} on {about.get('date')}: "
        f"{about.get('processors')}, {about.get('memory')}, {about.get('system')}, Python {about.get('python')}; "
        f"load {about.get('load_at_start', 0):.1f} before, {about.get('load_at_end', 0):.1f} after; "
        f"{about.get('took_seconds')} s."
        f"{_REALTIME if about.get('realtime') else ''}{_added(results)}\n\n"
        "Cells are **median / p95** (the maximum where there are fewer than 20 samples) and the ratio to the floor's "
        "median. The child is a static C program that reports CLOCK_MONOTONIC at its first instruction: no figure is a "
        "supervisor's own word. The systems take turns, round by round. What counts is the ratio in one run, "
        "on one machine.\n\n"
        f"{systems}{absent}"
    )


def _added(results: Results) -> str:
    """Which measures were made in runs of their own: each is compared within one run all the same."""
    return "".join(
        f" {' and '.join(run['measures'])}: added {run['date']}, of {run['version']}; load {run['load_at_start']:.1f} "
        f"before, {run['load_at_end']:.1f} after."
        for run in results.about.get("added", ())
    )


def _targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        read: Callable[[str, str], float | None] = results.p95 if target.p95 else results.median
        ours, floor = read(target.measure, target.system), results.median(target.measure, _FLOOR)
        if ours is None:
            continue
        sign = "≥" if target.at_least else "≤"
        limit = target.limit
        wanted = f"{sign} {number(limit, target.unit)}"
        if target.of_floor:
            if floor is None:
                continue
            limit *= floor
            wanted = f"{sign} {target.limit:g} × floor = {number(limit, target.unit)}"
        met = ours >= limit if target.at_least else ours <= limit
        ratio = f"{ours / floor:.2f}" if floor and target.measure not in ("memory_100_mb", "memory_1000_mb") else "–"
        rows.append(
            (
                target.label,
                number(floor, target.unit),
                number(ours, target.unit),
                ratio,
                wanted,
                "yes" if met else "**no**",
            )
        )
    best = _best_peer(results, "python_restart")
    zygote, floor = results.median("python_restart", _ZYGOTE), results.median("python_restart", _FLOOR)
    if best is not None and zygote is not None:
        rows.append(
            (
                "kill -9 of a worker that needs numpy and pandas → it works again",
                number(floor),
                number(zygote),
                f"{zygote / floor:.2f}" if floor else "–",
                f"≤ 0.1 × the best peer's {number(best)}",
                "yes" if zygote <= 0.1 * best else "**no**",
            )
        )
    if not rows:
        return ""
    return "## Targets\n\n" + table(("measure", "floor", "supervisor-tree", "× floor", "target", "met"), rows)


def _cell(results: Results, measure: str, system: str) -> str:
    middle = results.median(measure, system)
    if middle is None:
        return "–"
    floor = results.median(measure, _FLOOR)
    ratio = f" · {middle / floor:.1f} ×" if floor and system != _FLOOR else ""
    return f"{number(middle)} / {number(results.p95(measure, system))}{ratio}"


def _times(results: Results, title: str, columns: dict[str, str], note: str = "") -> str:
    rows = []
    for system in results.systems:
        if any(results.of(measure, system) for measure in columns.values()):
            samples = ", ".join(str(len(results.of(measure, system))) for measure in columns.values())
            rows.append((system, *(_cell(results, measure, system) for measure in columns.values()), samples))
    if not rows:
        return ""
    return f"## {title}\n\n" + table(("system", *columns, "samples"), rows) + (f"\n\n{note}" if note else "")


def _best_peer(results: Results, measure: str) -> float | None:
    """The least median of those that are neither ours nor the floor."""
    found = [results.median(measure, system) for system in results.samples.get(measure, {}) if _is_peer(system)]
    return min((median for median in found if median is not None), default=None)


def _is_peer(system: str) -> bool:
    return not system.startswith((_OURS, _FLOOR))


def _python(results: Results) -> str:
    rows = []
    for system, samples in results.samples.get("python_restart", {}).items():
        zygote, middle = results.median("python_restart", _ZYGOTE), results.median("python_restart", system)
        ratio = f"{middle / zygote:.1f} ×" if zygote and middle and system != _ZYGOTE else "–"
        took = f"{number(middle)} / {number(results.p95('python_restart', system))}"
        rows.append((system, took, ratio, number(results.median("python_own_mb", system), "MB"), str(len(samples))))
    if not rows:
        return ""
    return (
        "## Restart of a worker that needs numpy and pandas\n\n"
        "SIGKILL to the moment when the replacement has imported both, grouped a table with them and reported. The "
        "same program in the same interpreter everywhere; in the zygote's row it is a Python worker with "
        '`preload = ["numpy", "pandas"]`, in the others a command. Its own memory is what it shares with nobody.\n\n'
        + table(("system", "kill to work", "beside the zygote", "memory of its own", "samples"), rows)
    )


def _beating(results: Results) -> str:
    rows = []
    for count, facts in results.facts.get("beats", {}).items():

        def value(name: str, unit: str, count: str = count) -> str:
            return number(results.median(f"beats_{count}_{name}", _BEATING), unit)

        rows.append(
            (
                f"{int(count):,}",
                f"{facts['rate']:,}",
                value("root_cores", "cores"),
                value("keeper_cores", "cores"),
                value("root_mb", "MB"),
                f"{facts['sent']:,}",
                f"{facts['sent'] - facts['heard']:,}",
                f"{facts['verdicts']:,}",
            )
        )
    if not rows:
        return ""
    head = ("workers", "beats a second", "root", "keeper", "root's memory", "beats", "lost", "taken to hang")
    return (
        "## Workers that beat once a second\n\n"
        'A real tree with `health = { heartbeat = "30s" }` for each worker; one process speaks for all, over a '
        "connection and with a token for each, as their harness would. CPU is that of the process with all its "
        "threads, from schedstat.\n\n" + table(head, rows)
    )


def _idle_and_memory(results: Results) -> str:
    rows = []
    for system in results.systems:
        idle = results.median("idle_1000_s", system)
        memories = [results.median(f"memory_{count}_mb", system) for count in (100, 1000)]
        if idle is None and memories == [None, None]:
            continue
        counts = [results.facts.get(f"memory_{count}_mb_processes", {}).get(system, "–") for count in (100, 1000)]
        cells = [f"{number(memory, 'MB')} ({count})" for memory, count in zip(memories, counts, strict=True)]
        rows.append((system, number(idle, "s"), *cells))
    if not rows:
        return ""
    text = (
        "## Idle cost and memory of the system's own processes\n\n"
        "CPU seconds a minute with 1,000 children, from schedstat, all systems in the same minute. Memory is PSS from "
        "smaps_rollup (shared pages count in part), with the number of processes.\n\n"
        + table(("system", "idle, 1,000 children", "memory, 100 children", "memory, 1,000 children"), rows)
    )
    for count in (100, 1000):
        parts = results.facts.get(f"memory_{count}_mb_parts", {}).get(_OURS)
        if parts:
            made = "; ".join(f"{role} {own} + {mapped}" for role, (own, mapped) in sorted(parts.items()))
            text += f"\n\nOurs at {count:,}, in MB of own data + mapped files (interpreter, libraries): {made}."
    return text


def _logs(results: Results) -> str:
    rows = []
    for system in results.systems:
        cells = []
        for writers in (1, 50):
            measure = f"log_{writers}"
            speed = results.median(f"{measure}_mbs", system)
            floor = results.median(f"{measure}_mbs", _FLOOR)
            ratio = f" · {speed / floor:.2f} ×" if speed and floor and system != _FLOOR else ""
            loss = results.facts.get(f"{measure}_loss", {}).get(system)
            cells += [
                f"{number(speed, 'MB/s')}{ratio}",
                number(results.median(f"{measure}_cpu_s", system), "s"),
                "–" if loss is None else " / ".join(f"{part:,}" for part in loss),
            ]
        if cells[0] != "–" or cells[3] != "–":
            rows.append((system, *cells))
    if not rows:
        return ""
    head = ("system", "one writer", "its CPU", "lost / foreign / cut", "50 writers", "its CPU", "lost / foreign / cut")
    return (
        "## Log throughput\n\n"
        "200 MB of 100-byte lines in writes of 64 KiB, captured to files rotated at 20 MB, until the last byte is in a "
        "file; then everything is read back: bytes lost, bytes that nobody wrote there, lines cut by a rotation. "
        "The CPU time is the system's own. pm2 does not rotate by itself and is measured without.\n\n"
        + table(head, rows)
    )


def _orphans(results: Results) -> str:
    facts = results.facts
    rows = [
        (
            system,
            str(alive),
            str(facts.get("running_after_restart", {}).get(system, "–")),
            str(facts.get("running_twice", {}).get(system, "–")),
        )
        for system, alive in facts.get("alive_after_2_s", {}).items()
    ]
    if not rows:
        return ""
    text = "## SIGKILL of the supervisor with 20 children\n\n" + table(
        ("system", "children alive after 2 s", "running after a new start", "of these running twice"), rows
    )
    gone = results.median("all_gone", _OURS)
    if gone is not None:
        text += f"\n\nOurs: the last child was gone {number(gone)} after the keeper was killed."
    answers = results.median("new_root_answers", _OURS)
    if answers is not None:
        untouched = facts["untouched_by_root_kill"][_OURS]
        text += (
            f"\n\nOur root killed instead: {untouched} of 20 children untouched, "
            f"{facts['started_by_root_kill'][_OURS]} started again; a `ctl status` begun at the kill was answered by "
            f"the new root after {number(answers)} / {number(results.p95('new_root_answers', _OURS))} (whole process)."
        )
    return text


def _curve(results: Results) -> str:
    sizes = sorted({int(name.split("_")[1]) for name in results.samples if name.startswith("curve_")})
    if not sizes:
        return ""
    rows = []
    for size in sizes:

        def value(name: str, system: str = _OURS, size: int = size) -> float | None:
            return results.median(f"curve_{size}_{name}", system)

        start, memory = value("start"), value("memory_mb")
        rows.append(
            (
                f"{size:,}",
                f"{number(start)} ({number(value('start', _FLOOR))})",
                number(start / size * 1000, "µs") if start else "–",
                f"{number(value('restart'))} ({number(value('restart', _FLOOR))})",
                number(value("status")),
                number(value("idle_s"), "s"),
                number(memory, "MB"),
                f"{memory / size * 1000:,.0f} kB" if memory else "–",
            )
        )
    return (
        "## From 10 to 10,000 workers\n\n"
        "Ours, with the floor in brackets. From 2,000 workers on, standard output and error share one pipe: "
        "two each are more descriptors than this machine's hard limit.\n\n"
        + table(("workers", "start", "each", "restart of one", "`status`", "idle CPU a minute", "memory", "each"), rows)
    )


def _configurations(results: Results) -> str:
    if not results.systems:
        return ""
    blocks = [f"**{name}**\n\n```\n{facts['configuration'].strip()}\n```" for name, facts in results.systems.items()]
    return "## Configurations\n\nWith the first of N children.\n\n" + "\n\n".join(blocks)


def _failures(results: Results) -> str:
    if not results.failures:
        return ""
    return "## What failed in this run\n\n" + "\n".join(f"- {failure}" for failure in results.failures)
