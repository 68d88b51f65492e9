"""From a job's settings to what `core.jobs` decides by: its specification, and the instants at which it is due."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

from supervisor_tree.config.schedules.calendars import calendar_of
from supervisor_tree.config.schedules.timetables import Cron, Merged, Once
from supervisor_tree.config.schedules.zones import machine_zone, zone
from supervisor_tree.config.settings import NO_BACKOFF
from supervisor_tree.core.jobs.spec import JobSpec, StageSpec, Timetable

if TYPE_CHECKING:
    from supervisor_tree.config.job_settings import JobSettings, Stage


def timetable(settings: JobSettings, timezone: str | None = None) -> Timetable | None:
    """When the job is due; None: its instants don't come from a calendar (`every`, by hand). ``timezone`` None: its
    own, else that of the machine."""
    named = timezone or settings.timezone
    where = machine_zone() if named is None else zone(named)
    if settings.at is not None:
        moment = datetime.fromisoformat(settings.at)
        return Once((moment if moment.tzinfo is not None else moment.replace(tzinfo=where)).timestamp())
    tables: list[Timetable] = [Cron(line, where, settings.calendar) for line in settings.schedule]
    if not tables:
        return None
    return tables[0] if len(tables) == 1 else Merged(tables)


def next_run(settings: JobSettings, wall: float) -> float | None:
    """When a job that nothing is known of is due next; None: its times don't come from a calendar, or are past."""
    table = timetable(settings)
    return None if table is None else table.next_after(wall)


def calendar_ends(settings: JobSettings) -> str | None:
    """The last day that its calendar knows (ISO 8601); None: it has none."""
    return (
        None if settings.calendar is None or not settings.schedule else calendar_of(settings.calendar).last.isoformat()
    )


def schedule_text(settings: JobSettings) -> str:
    """When it is due, in words; other words where it is due at other times. Empty: by hand only."""
    if settings.every is not None:
        return f"every {duration(settings.every)}"
    if settings.at is None and not settings.schedule:
        return ""
    own = settings.at is not None and datetime.fromisoformat(settings.at).tzinfo is not None
    where = "" if own else settings.timezone or getattr(machine_zone(), "key", None) or "local time"
    days = f"{settings.calendar} days" if settings.calendar and settings.schedule else ""
    beside = ", ".join(word for word in (where, days) if word)
    when = f"at {settings.at}" if settings.at is not None else "; ".join(settings.schedule)
    return f"{when} ({beside})" if beside else when


def duration(seconds: float) -> str:
    """As a tree file says it: `5m`, `90s`, `10ms`."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.15g}ms"
    for unit, length in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:.15g}{unit}"
    return f"{seconds:.15g}s"


def job_spec(settings: JobSettings) -> JobSpec:
    """The job as the machine knows it."""
    stages = tuple(_stage(settings, stage) for stage in settings.stages) or (StageSpec(),)
    shutdown = settings.shutdown
    return JobSpec(
        name=settings.name,
        stages=stages,
        schedule=schedule_text(settings),
        every=settings.every,
        timeout=settings.timeout,
        overlap=cast("Literal['skip', 'queue', 'kill']", settings.overlap),
        catch_up=cast("Literal['none', 'last', 'all']", settings.catch_up),
        missed_after=settings.missed_after,
        alert_after=settings.alert_after,
        retries=settings.retries,
        backoff=settings.backoff,
        jitter=settings.jitter or 0.0,
        run_at_start=settings.run_at_start,
        gated=bool(settings.needs or settings.require),
        verify=bool(settings.verify),
        recovers=bool(settings.recover),
        autostart=settings.autostart,
        shutdown=None if shutdown == "infinity" else 0.0 if shutdown == "brutal_kill" else float(shutdown),
        outcome=settings.outcome,
    )


def _stage(settings: JobSettings, stage: Stage) -> StageSpec:
    return StageSpec(
        name=stage.name,
        critical=stage.critical,
        timeout=stage.timeout,
        retries=stage.retries,
        backoff=settings.backoff if stage.backoff == NO_BACKOFF else stage.backoff,
        verify=bool(stage.verify),
        instances=stage.instances,
        at_least=stage.at_least,
        parallel=stage.parallel,
    )
