"""Tokens: of one name and incarnation each, the same for every root that has the secret."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.root.hearing.tokens import Tokens

NAMES = st.text("abcXYZ019_.-@", min_size=1, max_size=20)


@given(st.binary(min_size=32, max_size=32), NAMES, st.integers(1, 10**9))
def test_a_new_root_makes_the_same(secret: bytes, name: str, incarnation: int) -> None:
    token = Tokens(secret).token(name, incarnation)
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert Tokens(secret).valid(name, incarnation, token)
    assert not Tokens(secret).valid(name, incarnation + 1, token)
    assert not Tokens(secret).valid(name + "x", incarnation, token)
    assert not Tokens().valid(name, incarnation, token)


@given(st.text(max_size=40))
def test_whatever_is_no_token_is_wrong(text: str) -> None:
    assert not Tokens().valid("a", 1, text)
