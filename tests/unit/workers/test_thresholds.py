"""When an alert is raised and when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from supervisor_tree.workers.example.figures import Figures
from supervisor_tree.workers.example.thresholds import Judge

START = datetime(2026, 11, 22, tzinfo=UTC)


def figures(second: int, cpu: float) -> Figures:
    return Figures(
        time=START + timedelta(seconds=second),
        cpu_percent=cpu,
        cpu_count=2,
        load_1=0.5,
        load_5=0.5,
        load_15=0.5,
        memory_percent=10.0,
        memory_total=100,
        memory_available=90,
        swap_percent=0.0,
        disk_percent=20.0,
        disk_total=100,
        disk_free=80,
        processes=12,
        uptime=60.0,
    )


def judged(*cpu: float, limit: float = 90.0, over: int = 10) -> list[tuple[int, bool]]:
    """(second, raised) of each change, for one sample a second."""
    judge = Judge({"cpu_percent": limit}, timedelta(seconds=over))
    return [(second, alert.raised) for second, value in enumerate(cpu) for alert in judge.add(figures(second, value))]


def test_one_busy_second_is_no_alert() -> None:
    assert judged(*[10.0] * 20, 100.0, *[10.0] * 20) == []


def test_a_window_that_is_not_full_says_nothing() -> None:
    assert judged(*[100.0] * 10) == []


def test_over_the_limit_for_the_whole_window_is_one_alert() -> None:
    assert judged(*[95.0] * 30) == [(10, True)]


def test_a_figure_that_swings_about_its_limit_stays_one_alert() -> None:
    assert judged(*[92.0] * 11, *[88.0, 92.0] * 20) == [(10, True)]


def test_it_is_over_when_the_mean_is_well_under_the_limit() -> None:
    changes = judged(*[95.0] * 11, *[10.0] * 10)
    assert [raised for _, raised in changes] == [True, False]


def test_after_a_gap_in_the_samples_the_window_begins_anew() -> None:
    judge = Judge({"cpu_percent": 90.0}, timedelta(seconds=10))
    for second in range(11):
        judge.add(figures(second, 10.0))
    assert judge.add(figures(1000, 100.0)) == []
    assert judge.add(figures(1005, 100.0)) == []
