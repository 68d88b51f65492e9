"""How often `guard` has answered a rule for a script, kept in a small file: where no tree runs, nobody else counts."""

from __future__ import annotations

import os
import sys
import time

import msgspec

from supervisor_tree.core.recovery.progress import Past
from supervisor_tree.core.recovery.rules import Rule
from supervisor_tree.system import disk


class Pasts:
    """The counts of all scripts that share a file, for one of them. Wall clock: it outlives the machine's boots."""

    def __init__(self, file: str, script: str) -> None:
        self._file = file
        self._script = script

    def begin(self, rule: Rule, id_: str) -> str | None:
        """Count one more; or why there is not to be one."""
        pasts = self._read()
        past = pasts.setdefault(self._key(rule), Past())
        past.under_way = None  # of a guard that was killed: two of one script at once are not ours to forbid
        refusal = past.refuses(rule, time.time())
        if refusal is None and (rule.cooldown is not None or rule.max is not None):
            past.begin(rule, id_, time.time())
            self._write(pasts)
        return refusal

    def end(self, rule: Rule) -> None:
        if rule.cooldown is not None or rule.max is not None:
            pasts = self._read()
            pasts.setdefault(self._key(rule), Past()).end(time.time())
            self._write(pasts)

    def _key(self, rule: Rule) -> str:
        return f"{rule.name} {self._script}"

    def _read(self) -> dict[str, Past]:
        try:
            with open(self._file, "rb") as file:
                return msgspec.json.decode(file.read(), type=dict[str, Past])
        except (OSError, msgspec.DecodeError):
            return {}

    def _write(self, pasts: dict[str, Past]) -> None:
        try:
            os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
            disk.replace(self._file, msgspec.json.encode(pasts), forced=True)
        except OSError as error:
            print(f"supervisor-tree: {self._file}: {error.strerror}: nobody counts recoveries", file=sys.stderr)
