"""Log files written as the logger writes them, without a logger."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor_tree.logs import index
from supervisor_tree.logs.files import LogFile
from supervisor_tree.logs.memo import Memo
from supervisor_tree.system import means


class Written:
    """One log with its index; `put` takes what one move would."""

    def __init__(self, folder: Path, name: str = "web", keep: int = 5) -> None:
        self.path = folder / f"{name}.log"
        memo_fd = means.memory_file("memo", 64)
        self.memo = Memo(memo_fd)
        os.close(memo_fd)
        self.file = LogFile({"path": str(self.path), "max_size": 0, "keep": keep, "on_full": "drop"}, self.memo)

    def put(self, data: bytes, stream: str = "out") -> None:
        self.file.open()
        os.write(self.file.fd, data)
        self.file.note(index.KINDS[stream], len(data))

    def drop(self, size: int, stream: str = "out") -> None:
        self.file.open()
        self.file.note_dropped(index.KINDS[stream], size)

    def rotate(self) -> None:
        self.file.open()
        self.file.rotate()

    def close(self) -> None:
        self.file.close()
        self.memo.close()

    def save(self) -> None:
        self.file.write_index()
