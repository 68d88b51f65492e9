"""`python -m supervisor_tree`: the same as the command `supervisor-tree`."""

from __future__ import annotations

import sys

from supervisor_tree.cli.main import main

sys.exit(main())
