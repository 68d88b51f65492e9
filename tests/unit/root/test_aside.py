"""Work in threads of its own: that whoever waits for it can be cancelled."""

from __future__ import annotations

import asyncio
import threading

from supervisor_tree.root.aside import Aside


def test_a_cancellation_that_comes_together_with_the_result_is_one() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        go, gone = threading.Event(), threading.Event()

        def look() -> None:
            worker.join()
            gone.set()

        def work() -> None:
            go.wait()
            threading.Thread(target=look).start()

        task = loop.create_task(Aside(loop, 1).do(work, 60.0))
        await asyncio.sleep(0)
        (worker,) = [each for each in threading.enumerate() if each.name == "aside"]
        go.set()
        gone.wait()  # on the loop: the result waits in its queue, and behind it …
        loop.call_soon(task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
