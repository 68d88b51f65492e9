"""The last time that a database tells of. Waits for disks and networks: for a thread."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor_tree.config import Plan
    from supervisor_tree.config.job_settings import ActivitySource

_MILLISECONDS = 1e11
"""A number from here on is no number of seconds since 1970 (it would be the year 5138)."""


def ask(source: ActivitySource, plan: Plan, within: float) -> float | None:
    """The moment (wall clock, seconds) in the first column of the first row; None: there is none yet.

    Raises:
        DatabaseError: there is no answer.
        ValueError: the answer is no moment.
    """
    from supervisor_tree.store.databases import query

    assert source.sql is not None
    rows = query(_url(source, plan), source.sql, folder=plan.dir, within=within)
    return None if not rows or not rows[0] else moment(rows[0][0])


def told(source: ActivitySource, plan: Plan) -> str:
    """The source as people may see it, without a password."""
    from supervisor_tree.store.databases import told as without_password

    return f"sql of {without_password(_url(source, plan))}"


def _url(source: ActivitySource, plan: Plan) -> str:
    return source.url or plan.store.url or f"sqlite:///{os.path.join(plan.state_dir, 'events.db')}"


def moment(value: Any) -> float | None:
    """A database's answer as seconds since 1970. What names no zone is UTC.

    Raises:
        ValueError: it is no moment.
    """
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, str):
        try:
            return moment(datetime.fromisoformat(value.strip()))
        except ValueError:
            pass
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the query answers {value!r}, which is no time") from None
    return number / 1000.0 if number >= _MILLISECONDS else number
