"""The programs in docs/how-to/python-api.md do what is said of them."""

from __future__ import annotations

import re

import pytest

from tests.support.tree import REPOSITORY
from tests.support.waiting import eventually
from tests.system.api.conftest import MakeProgram

PAGE = (REPOSITORY / "docs" / "how-to" / "python-api.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHOP, STRATEGIES, FEEDS, ENDING = PROGRAMS


def test_a_function_and_a_command(program: MakeProgram) -> None:
    tree = program(SHOP)
    tree.wait("web", "collector")
    tree.wait_until("collector", status="collected")
    assert tree.stop() == 0


@pytest.mark.parametrize("guarded", [False, True])
def test_classes_and_closures_of_the_program(program: MakeProgram, guarded: bool) -> None:
    before, run, after = STRATEGIES.partition("\nSupervisor(")
    guard = '\nif __name__ == "__main__":\n' + "".join(f"    {line}\n" for line in (run + after).strip().splitlines())
    tree = program(before + guard if guarded else STRATEGIES)
    tree.wait("quotes", "slow", "fast")
    tree.wait_until("quotes", status=lambda said: said is not None and said.startswith("SPY: tick "))
    pid = tree.pids()["slow"]
    tree.kill(tree.pids()["fast"])
    tree.wait_until("slow", pid=lambda now: now not in (None, pid))
    assert tree.stop() == 0


def test_a_template(program: MakeProgram) -> None:
    tree = program(FEEDS)
    (command,) = re.findall(r"`supervisor-tree (ctl add fetchers [^`]*)`", PAGE)
    tree.cli(*command.split())
    tree.wait("fetch@SPY")
    eventually(lambda: tree.log("fetch@SPY") == "fetching SPY to depth 3\n", lambda: tree.log("fetch@SPY"))
    tree.ctl("remove", "fetch@SPY")
    assert "fetch@SPY" not in tree.children()
    assert tree.stop() == 0


def test_a_tree_that_ends(program: MakeProgram) -> None:
    tree = program(ENDING, start=False)
    tree.start(wait=False)
    assert tree.wait_end() == 0
    assert "working" in tree.output()


def test_the_mistakes(program: MakeProgram) -> None:
    wrong = SHOP.replace('shutdown="3s"', 'shutdown="3"').replace('needs={"web"', 'needs={"wbe"')
    tree = program(wrong, start=False)
    tree.start(wait=False)
    assert tree.wait_end() == 1
    said = re.search(r"Mistakes.*?^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert said is not None
    assert said[1] in tree.output()
