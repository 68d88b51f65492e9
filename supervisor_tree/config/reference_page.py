"""The reference of the tree file as a page of Markdown, from the one definition of each option."""

from __future__ import annotations

from msgspec import Struct

from supervisor_tree.config import job_settings as jobs
from supervisor_tree.config.jsonschema import plain
from supervisor_tree.config.kinds import Duration, WordsOr
from supervisor_tree.config.loading import DEFAULTS
from supervisor_tree.config.probes import Probe
from supervisor_tree.config.reading import Field, options_of
from supervisor_tree.config.settings import SupervisorSettings, TreeSettings, WorkerSettings
from supervisor_tree.config.tree_kinds import LogKeys

_HEAD = """# Reference: the tree file

Made by `supervisor_tree.config.reference_page` from the definitions of the options; edit those, not this page.

Where a list is expected, one value counts as a list of one. A duration is seconds as a number, or a number and a unit
(`ms s m h d w`); a size is bytes as a number, or a number and a unit (`kB MB GB`, `KiB MiB GiB`). `${VAR}`,
`${VAR:-default}` and `$$` work in every value but regular expressions.

*Reload* says what `ctl reload` does when the key has changed: **live**, applied as it runs; **restart**, the child is
restarted; **tree**, only a new start of the tree applies it.

All of it is read and checked; what this version does not run yet is said by `supervisor-tree check`.
"""

_TABLES: tuple[tuple[str, type[Struct]], ...] = (
    ("[tree]", TreeSettings),
    ("[supervisors.NAME]", SupervisorSettings),
    ("[workers.NAME]", WorkerSettings),
    ("[jobs.NAME]", jobs.JobSettings),
    ("a stage of a job", jobs.Stage),
    ("`record` of a job", jobs.Record),
    ("a probe: `require`, `ready`, `health`, `verify`, [checks.NAME]", Probe),
    ("[recover.NAME]", jobs.RecoverSettings),
    ("a step of [recover.NAME]", jobs.Step),
    ("[activity.NAME]", jobs.ActivitySettings),
    ("an element of `any` in [activity.NAME]", jobs.ActivitySource),
    ("[retention.NAME]", jobs.RetentionSettings),
    ("[store]", jobs.StoreSettings),
    ("[alerts]", jobs.AlertSettings),
)


def reference() -> str:
    """The page."""
    parts = [_HEAD]
    for title, struct in _TABLES:
        parts.append(f"## {title}\n\n{_summary(struct)}\n\n{_rows(options_of(struct))}")
    shared = ", ".join(f"`{key}`" for key in DEFAULTS.known)
    parts.append(f"## [defaults]\n\nFor each worker and job that may have the key and does not set it: {shared}.\n")
    limits = ", ".join(f"`{key}` ({kind.words})" for key, kind in LogKeys(files=False).kinds.items())
    parts.append(
        f'## [logs]\n\nDefaults of every `log`: {limits}. Without them: `max_size` 50MB, `keep` 5, `on_full` "drop".\n'
    )
    parts.append("## [x]\n\nYour own: nothing in it is read.\n")
    return "\n".join(parts)


def _summary(struct: type[Struct]) -> str:
    text = (struct.__doc__ or "").partition("\n")[0]
    said = text.partition(": ")[2]
    return said[:1].upper() + said[1:] if text.startswith("`[") else text


def _rows(options: dict[str, Field]) -> str:
    lines = ["| key | value | default | reload | |", "| --- | --- | --- | --- | --- |"]
    for key, field in options.items():
        cells = (f"`{key}`", field.option.kind.words, _default(field), field.option.reload, field.option.doc)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: Field) -> str:
    if field.option.default:
        return field.option.default
    value = plain(field.default)
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float) and isinstance(field.option.kind, Duration | WordsOr):
        return f'`"{duration_text(value)}"`'
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in value) + "]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def duration_text(seconds: float) -> str:
    """A duration as a person writes it: ``90`` → ``90s``, ``300`` → ``5m``, ``0.25`` → ``250ms``."""
    for unit, size in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:g}s"
