"""The three tree files that the specification of the language shows, with a user that every machine has."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "documented"

LANGUAGE = (_FOLDER / "language.toml").read_text(encoding="utf-8")
CONTAINER = (_FOLDER / "container.toml").read_text(encoding="utf-8")
RUN_TIME = (_FOLDER / "run-time.toml").read_text(encoding="utf-8")
