"""`python -m supervisor_tree`: the same as the command `supervisor-tree`."""

from __future__ import annotations

from supervisor_tree.cli.main import main

main()
