"""The worker that README.md shows, run for real."""

from __future__ import annotations

import re

from tests.conftest import MakeTree
from tests.support.tree import REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def test_a_worker_of_your_own(tree: MakeTree) -> None:
    (module,) = re.findall(r"^```python\n# feed\.py\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (file,) = re.findall(r"^```toml\n(# tree\.toml\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    one = tree(file.replace("http.server 8000", "http.server --bind 127.0.0.1 0"), start=False)
    (one.dir / "feed.py").write_text(module)
    one.start()
    one.wait("feed", "web")
    one.wait_until("feed", status=lambda said: said is not None and said.endswith(" rows"))
    assert one.stop() == 0
