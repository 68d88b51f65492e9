"""Environment files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_tree.config.dotenv import parse


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1", {"A": "1"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("  export  A = x y  # comment\n", {"A": "x y"}),
        ("A=x#y\n", {"A": "x#y"}),
        ("A=\nB= # c\n", {"A": "", "B": ""}),
        ("# A=1\n\n\t\nB=2\r\nC=3\r\n", {"B": "2", "C": "3"}),
        ("A='a # $B \"q\" \\n'  # c\n", {"A": 'a # $B "q" \\n'}),
        ('A="a\\n\\"b\\" \\$c \\\\ \\x"\n', {"A": 'a\n"b" $c \\ \\x'}),
        ("A='one\ntwo'\nB=3\n", {"A": "one\ntwo", "B": "3"}),
        ("PATH=$PATH:/x\nP=${Q}\n", {"PATH": "$PATH:/x", "P": "${Q}"}),
        ("A=b=c\n", {"A": "b=c"}),
        ("A.B=1\n_x=2\n", {"A.B": "1", "_x": "2"}),
        ("\ufeffA=1\n", {"A": "1"}),
    ],
)
def test_lines(text: str, values: dict[str, str]) -> None:
    assert parse(text) == (values, [])


def test_lines_that_are_none_are_told_and_skipped() -> None:
    assert parse("A=1\nwhat is this\n1A=2\nB='open\nC=3\n") == ({"A": "1", "C": "3"}, [2, 3, 4])


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    values, strange = parse(text)
    assert all(isinstance(value, str) for value in values.values())
    assert strange == sorted(strange)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(exclude_characters="'\r", codec="utf-8")),
    )
)
def test_single_quotes_keep_everything(values: dict[str, str]) -> None:
    assert parse("".join(f"{name}='{value}'\n" for name, value in values.items())) == (values, [])
