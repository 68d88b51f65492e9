"""URLs of databases."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from supervisor_tree.config.extras import check_library
from supervisor_tree.config.kinds import Text
from supervisor_tree.config.problems import Key
from supervisor_tree.config.reading import At, Invalid

_SERVERS = ("postgresql://", "postgres://")


class DatabaseUrl(Text):
    """`sqlite:///FILE` (relative to `tree.dir`; `sqlite:////FILE` is absolute) or `postgresql://…`."""

    def __init__(self) -> None:
        super().__init__("a database URL")

    def read(self, value: Any, at: At, key: Key) -> str | Invalid:
        url = super().read(value, at, key)
        if not isinstance(url, str):
            return url
        if url.startswith("sqlite:///") and url != "sqlite:///":
            return url
        if not url.startswith(_SERVERS):
            return at.wrong("must be sqlite:///FILE or postgresql://…", key)
        try:
            urlsplit(url).port  # noqa: B018  # raises
        except ValueError as error:
            return at.wrong(f"is no URL: {error}", key)
        check_library("psycopg", "postgres", str(key), at)
        return url
