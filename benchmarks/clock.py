"""The pauses of a measure. Between two looks or two kills there is no event to wait for: the pause is the point."""

from __future__ import annotations

import time


def pause(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251
