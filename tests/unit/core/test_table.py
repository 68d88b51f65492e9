"""Every event has an answer in every state, on purpose."""

from __future__ import annotations

from typing import get_args

import pytest

from supervisor_tree.core.child import TABLE
from supervisor_tree.core.events import Event
from supervisor_tree.core.facts import Fact
from supervisor_tree.core.node import State
from supervisor_tree.core.supervising import REACTIONS


@pytest.mark.parametrize("event", get_args(Event), ids=lambda event: event.__name__)
def test_every_event_is_answered_in_every_state(event: type) -> None:
    assert list(TABLE[event]) == list(State)


def test_the_table_names_no_event_that_does_not_exist() -> None:
    assert set(TABLE) == set(get_args(Event))


def test_every_fact_is_answered() -> None:
    assert set(REACTIONS) == set(Fact)
