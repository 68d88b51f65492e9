"""A Python worker that says what it is told to on standard input: JSON, one a line."""

import asyncio
import json
import sys
from typing import Any

from supervisor_tree.workers import Worker


class Speaker(Worker):
    async def setup(self) -> None:
        self.lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.lines), sys.stdin.buffer
        )
        step = await self.step()
        assert step == {"do": "ready"}, step

    async def step(self) -> Any:
        line = await self.lines.readline()
        return json.loads(line) if line else None

    async def run(self) -> None:
        while (step := await self.step()) is not None:
            if step["do"] == "beat":
                self.beat(step["status"], **step["fields"])
            elif step["do"] == "activity":
                self.activity(step["name"], **step["fields"])
            elif step["do"] == "goodbye":
                return

    async def command(self, name: str, args: dict[str, Any]) -> Any:
        if name == "reload":
            return {"reloaded": args}
        if name == "fail":
            raise ValueError(args["why"])
        return await super().command(name, args)
