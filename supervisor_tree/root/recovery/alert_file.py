"""The text file that an `alert` step writes, as guardian_wrapper.sh did."""

from __future__ import annotations

import os

from supervisor_tree.core.recovery import words
from supervisor_tree.core.recovery.progress import Recovery
from supervisor_tree.core.recovery.rules import Step
from supervisor_tree.root.recovery.log_file import stamp


def write(file: str, step: Step, recovery: Recovery, lines: list[str], wall: float) -> None:
    """Raises OSError: it can't be written."""
    os.makedirs(os.path.dirname(file) or ".", exist_ok=True)
    text = [
        f"{step.level.upper()} ALERT: {words.title(recovery)}",
        f"Timestamp: {stamp(wall)}",
        f"Recovery rule: {recovery.rule.name}",
        *([f"Original exit code: {recovery.exit}"] if recovery.exit is not None else []),
        "Steps: " + "; ".join(each.words for each in recovery.rule.steps),
        "",
        "Last lines of the output:",
        *lines,
        "",
        "Manual intervention may be required if this persists.",
    ]
    # One alert a second and file: a second one goes behind the first.
    with open(file, "a", encoding="utf-8", errors="replace") as out:
        out.write("\n".join(text) + "\n")
