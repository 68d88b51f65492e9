"""The figures file: followed as it grows and through its rotation; and the page made of it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from supervisor_tree.workers.example.figures import Figures, FiguresFile, encode, write_whole
from supervisor_tree.workers.example.host_watcher import append, sample
from supervisor_tree.workers.example.page_builder import duration, page, size

ROOT = Path("/")


def test_a_sample_of_this_machine_makes_sense() -> None:
    now = sample(ROOT)
    assert 0 <= now.cpu_percent <= 100
    assert 0 < now.memory_available <= now.memory_total
    assert 0 < now.disk_free <= now.disk_total
    assert now.processes > 0
    assert now.uptime > 0


def test_only_whole_lines_are_read_and_none_twice(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    file = FiguresFile(path)
    assert file.new() == []
    now = sample(ROOT)
    line = encode(now) + b"\n"
    path.write_bytes(line + line[:20])
    assert file.new() == [now]
    with open(path, "ab") as rest:
        rest.write(line[20:])
    assert file.new() == [now]
    assert file.new() == []


def test_a_line_that_is_no_sample_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    now = sample(ROOT)
    path.write_bytes(b'{"time": 1}\nnonsense\n' + encode(now) + b"\n")
    assert FiguresFile(path).new() == [now]


def test_nothing_is_lost_when_the_file_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    file = FiguresFile(path)
    written: list[Figures] = []
    read: list[Figures] = []
    for number in range(40):
        written.append(sample(ROOT))
        append(path, written[-1], max_size=1500)
        if number % 3 == 0:  # fewer than a file holds between two rotations
            read += file.new()
    assert read + file.new() == written
    assert (tmp_path / "figures.jsonl.1").stat().st_size < 2500


def test_what_a_killed_writer_left_spoils_one_line_only(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    first, second = sample(ROOT), sample(ROOT)
    path.write_bytes(encode(first)[:40])
    append(path, second, max_size=10_000)
    assert FiguresFile(path).new() == [second]


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert [each.name for each in tmp_path.iterdir()] == ["index.html"]
    assert path.read_bytes() == b"two"


def test_the_page_shows_figures_and_alerts_and_escapes_what_it_is_given() -> None:
    samples = [sample(ROOT), sample(ROOT)]
    alerts = [{"figure": "cpu_percent", "limit": 90.0, "time": "<now>"}]
    html = page(samples, alerts, host="<b>", system="Linux 6")
    assert "<b>" not in html.split("</head>")[0].split("<main>")[0]
    assert "&lt;b&gt;" in html
    assert "cpu over 90 % since &lt;now&gt;" in html
    assert html.count("<polyline") == 4
    assert msgspec.json.decode(encode(samples[0]))["time"][:10] in html


def test_sizes_and_durations_read_well() -> None:
    assert [size(count) for count in (12, 2048, 3 << 20, 5 << 40)] == ["12 B", "2.0 KiB", "3.0 MiB", "5.0 TiB"]
    assert [duration(seconds) for seconds in (59, 3600, 90_000)] == ["0 min", "1 h 0 min", "1 d 1 h"]
