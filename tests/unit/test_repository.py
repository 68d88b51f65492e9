"""What the repository promises about itself."""

from __future__ import annotations

import os
import re

import pytest

from tests.support.tree import REPOSITORY

PACKAGE = REPOSITORY / "supervisor_tree"


@pytest.mark.parametrize("room", ["workers", "ipc", "config", "service"])
def test_the_links_at_the_root_are_relative_and_lead_into_the_package(room: str) -> None:
    assert os.readlink(REPOSITORY / room) == f"supervisor_tree/{room}"
    assert (REPOSITORY / room / "__init__.py").is_file()


def test_every_room_is_in_the_architecture_and_says_what_it_is_for() -> None:
    # A room, `root/`, or after an ellipsis one within the room above it, … `hangs/`
    table = re.findall(r"^\| (… )?`(\w+)/` \|", (REPOSITORY / "docs" / "architecture.md").read_text(), re.MULTILINE)
    told, outer = set(), ""
    for within, name in table:
        outer = outer if within else name
        told.add(f"{outer}/{name}" if within else name)
    rooms = {str(init.parent.relative_to(PACKAGE)) for init in PACKAGE.rglob("__init__.py")} - {"."}
    assert told == rooms


def test_no_module_is_a_bag() -> None:
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert names.isdisjoint({"util", "utils", "helper", "helpers", "common", "misc", "manager"})
