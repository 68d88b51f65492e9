"""The reference of the command line is what the commands say of themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from supervisor_tree.cli.reference_page import page

PAGE = Path(__file__).parents[3] / "docs" / "reference-command-line.md"


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="argparse words its help differently from version to version"
)
def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), f"make it anew: python -m supervisor_tree.cli.reference_page > {PAGE}"
