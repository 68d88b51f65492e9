"""`python -m supervisor_tree.logs`: started by the keeper, by nobody else."""

from __future__ import annotations

import sys

from supervisor_tree.logs.start import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
