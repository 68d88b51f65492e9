"""What a worker says, as bytes: JSON that every reader takes, never too long, whatever a program puts into it."""

from __future__ import annotations

import json
import math
import time

from supervisor_tree.ipc.zmtp import MAX_MESSAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PROTOCOL = 1
_ROOM = 512
"""Bytes kept free for what is added when a message is sent."""


def encode(kind: str, **values: Any) -> bytes:
    """One message. What is no JSON is written as text; a message that would be too long loses its `fields`, then all
    but the beginning of its texts."""
    data = _dumps({"type": kind, **values})
    if len(data) <= MAX_MESSAGE - _ROOM:
        return data
    left_out = f"{len(data)} bytes of it left out: a message has at most {MAX_MESSAGE}"
    if "result" in values:
        return encode(kind, id=values.get("id"), ok=False, result=None, error=left_out)
    short = {key: value[:1000] if isinstance(value, str) else value for key, value in values.items()}
    return _dumps({"type": kind, **short, "fields": {}, "detail": left_out})


def aged(message: bytes) -> Callable[[], bytes]:
    """The message, which will say how many seconds ago it was made when its turn comes."""
    made = time.monotonic()
    return lambda: b'%s,"age":%.3f}' % (message[:-1], time.monotonic() - made)


def _dumps(values: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_text)
    except (ValueError, TypeError, RecursionError):
        text = json.dumps(_plain(values, 8), ensure_ascii=False, separators=(",", ":"))
    # Not every text can be UTF-8: a file name in os.fsdecode's spelling is none.
    return text.encode("utf-8", "replace")


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _plain(value: Any, depth: int) -> Any:
    """``value`` with nothing in it that JSON has not: other keys than text, infinities, circles."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, str | int):
        return value
    if depth and isinstance(value, dict):
        return {_text(key): _plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    return _text(value)
