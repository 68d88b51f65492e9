"""``python -m benchmarks [MEASURE…] [--systems NAME…] [--quick]``: measure, write RESULTS.md and results.json."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import processes, render
from benchmarks.beats import beats
from benchmarks.bench import FULL, QUICK, Bench, say
from benchmarks.build import BENCH, BuildError, prepare
from benchmarks.capture import capture
from benchmarks.curve import curve
from benchmarks.idle import idle
from benchmarks.orphans import orphans
from benchmarks.python_restart import python_restart
from benchmarks.sessions import large, small, warm_up
from benchmarks.systems import ALL, Ours

MEASURES = (
    *("start", "restart", "storm", "stop", "status", "memory"),
    *("python", "beats", "idle", "logs", "orphans", "curve"),
)
_SMALL = {"start", "restart", "storm", "stop", "status", "memory"}
_LARGE = {"start", "storm", "memory"}


def main() -> int:
    options = _options()
    wanted = [kind for kind in ALL if not options.systems or kind.name in options.systems]
    try:
        tools = prepare([kind.name for kind in wanted])
    except BuildError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    for name, why in tools.absent.items():
        say(f"without {name}: {why}")
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=options.dir or BENCH))
    measures = set(options.measures or MEASURES)
    systems = [kind for kind in wanted if kind.name not in tools.absent]
    bench = Bench(tools, folder, systems, measures, QUICK if options.quick else FULL)
    bench.results.absent = dict(tools.absent)
    bench.results.about = _machine(options.quick)
    if options.realtime:
        # Inherited by all that is started from here on: every system, every child.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        bench.results.about["realtime"] = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    steps: list[tuple[set[str], Callable[[Bench], None]]] = [
        (_SMALL, small),
        (_LARGE, large),
        ({"python"}, python_restart),
        ({"beats"}, beats),
        ({"idle"}, idle),
        ({"logs"}, capture),
        ({"orphans"}, orphans),
        ({"curve"}, curve),
    ]
    begin = dt.datetime.now(dt.UTC)
    try:
        warm_up(bench)
        for needed, step in steps:
            if needed & measures:
                step(bench)
    finally:
        processes.kill_marked(str(folder))
        shutil.rmtree(folder, ignore_errors=True)
        took = dt.datetime.now(dt.UTC) - begin
        bench.results.about["took_seconds"] = round(took.total_seconds())
        bench.results.about["load_at_end"] = os.getloadavg()[0]
        output = Path(options.output)
        results = bench.results
        if options.add:
            results.about["measures"] = sorted(measures)
            results.about["version"] = Ours.version(tools)
            results = results.added_to(output.with_suffix(".json"))
        results.write(output.with_suffix(".json"))
        output.write_text(render.markdown(results))
        say(f"written: {output} and {output.with_suffix('.json')}")
    return 1 if bench.results.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"some of {', '.join(MEASURES)}; default: all")
    parser.add_argument("--systems", nargs="+", metavar="NAME", help=f"some of {', '.join(kind.name for kind in ALL)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: less than five minutes")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="measure everybody in the real-time class (SCHED_RR), so that other work on this machine does not count",
    )
    parser.add_argument(
        "--add", action="store_true", help="put these measures into the report that is there, and leave its others"
    )
    parser.add_argument("--dir", help="where systems keep their files while they are measured (default: .bench)")
    parser.add_argument("--output", default=str(Path(__file__).with_name("RESULTS.md")), help="the report to write")
    options = parser.parse_args()
    for measure in options.measures:
        if measure not in MEASURES:
            parser.error(f"no measure {measure!r}; there are {', '.join(MEASURES)}")
    for name in options.systems or []:
        if name not in {kind.name for kind in ALL}:
            parser.error(f"no system {name!r}; there are {', '.join(kind.name for kind in ALL)}")
    return options


def _machine(quick: bool) -> dict[str, object]:
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": quick,
        "processors": f"{os.cpu_count()} × {processor}",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_at_start": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
