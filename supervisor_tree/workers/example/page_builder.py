"""Keeps a web folder up to date with the machine's figures: `index.html` with their course, and `figures.json`.

A plain coroutine function. It is woken by the figures file, not by a clock. Each file is replaced whole, so that a
server beside it never sends half a page.
"""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from supervisor_tree.workers import beat
from supervisor_tree.workers.example.figures import Figures, FiguresFile, write_whole
from supervisor_tree.workers.example.watching import Watched

SHOWN = 300
"""Samples on the page: ten minutes at one every two seconds."""

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$host</title>
<style>
  body { font: 16px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
         color: #1c2a33; background: #f6f7f7; }
  h1 { font-size: 1.4rem; margin: 0; } p { color: #5a6a73; margin: .2rem 0 1.5rem; }
  main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
  section { background: #fff; border: 1px solid #dde3e6; border-radius: .5rem; padding: 1rem 1rem .6rem; }
  h2 { font-size: .9rem; font-weight: 600; margin: 0; color: #5a6a73; }
  b { font-size: 1.8rem; font-weight: 600; } small { color: #5a6a73; }
  svg { display: block; width: 100%; height: 3.5rem; margin-top: .4rem; }
  polyline { fill: none; stroke: #0b7285; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
  .alert { background: #fff3f0; border-left: 4px solid #c92a2a; color: #1c2a33; padding: .5rem .8rem; }
</style>
<h1>$host</h1>
<p>$system · up $uptime · $processes processes · <time>$time</time> · <a href="figures.json">figures.json</a></p>
$alerts
<main>
$cards
</main>
</html>
""")

CARD = Template("""<section><h2>$name</h2><b>$value</b> <small>$detail</small>
<svg viewBox="0 0 $width 100" preserveAspectRatio="none" role="img" aria-label="$name, the last $count samples">
<polyline points="$points"/></svg></section>""")


def page(samples: Sequence[Figures], alerts: Sequence[dict[str, Any]], host: str, system: str) -> str:
    """The page about these samples (at least one), the newest last."""
    now = samples[-1]
    top = max([float(now.cpu_count), *(each.load_1 for each in samples)])
    cards = [
        _card("CPU", f"{now.cpu_percent:.0f} %", f"of {now.cpu_count}", [each.cpu_percent for each in samples]),
        _card(
            "Memory",
            f"{now.memory_percent:.0f} %",
            f"{size(now.memory_available)} of {size(now.memory_total)} available",
            [each.memory_percent for each in samples],
        ),
        _card(
            "Disk",
            f"{now.disk_percent:.0f} %",
            f"{size(now.disk_free)} of {size(now.disk_total)} free",
            [each.disk_percent for each in samples],
        ),
        _card(
            "Load",
            f"{now.load_1:.2f}",
            f"{now.load_5:.2f} over 5 min, {now.load_15:.2f} over 15",
            [100 * each.load_1 / top for each in samples],
        ),
    ]
    return PAGE.substitute(
        host=escape(host),
        system=escape(system),
        uptime=duration(now.uptime),
        processes=now.processes,
        time=now.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
        alerts="\n".join(_alert(alert) for alert in alerts),
        cards="\n".join(cards),
    )


def _card(name: str, value: str, detail: str, percentages: list[float]) -> str:
    """One figure and its course; a percentage is drawn from the bottom, 0, to the top, 100."""
    points = " ".join(f"{x},{100 - y:.1f}" for x, y in enumerate(percentages, start=SHOWN - len(percentages)))
    return CARD.substitute(
        name=name, value=value, detail=detail, points=points, count=len(percentages), width=SHOWN - 1
    )


def _alert(alert: dict[str, Any]) -> str:
    figure = escape(str(alert["figure"]).replace("_percent", ""))
    return f'<p class="alert">{figure} over {alert["limit"]:g} % since {escape(str(alert["time"]))}</p>'


def size(count: int) -> str:
    """Bytes for people: 1.5 GiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds for people, in the two units that say most: 3 d 4 h."""
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 60 // 24} d {minutes // 60 % 24} h"


def standing(file: Path) -> list[dict[str, Any]]:
    """The alerts that stand; none while nobody writes the file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[dict[str, Any]])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


async def build(figures: Path, alerts: Path, web: Path) -> None:
    """Keep the page up to date, for ever.

    Args:
        figures: the figures file to follow.
        alerts: what stands now, a JSON array.
        web: the folder that the page goes to.
    """
    host, system = platform.node(), f"{platform.system()} {platform.release()}"
    file = FiguresFile(figures)
    samples = deque(file.before(), maxlen=SHOWN)
    with Watched(figures) as watched:
        print(f"building {web} from {figures}", flush=True)
        while True:
            if new := file.new():
                samples.extend(new)
                stand = standing(alerts)
                write_whole(web / "figures.json", msgspec.json.encode({"host": host, "samples": list(samples)}))
                write_whole(web / "index.html", page(samples, stand, host, system).encode())
                beat(f"{len(samples)} samples, {len(stand)} alerts")
            await watched.changed()
