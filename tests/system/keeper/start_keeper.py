"""`python start_keeper.py LIMITS SOCKET [LOGGER…]`: a keeper whose roots are relays to the test."""

from __future__ import annotations

import json
import os
import sys

from supervisor_tree.keeper.limits import Limits
from supervisor_tree.keeper.main import run

RELAY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay_root.py")

if __name__ == "__main__":
    limits = Limits(**json.loads(sys.argv[1]))
    sys.exit(
        run([sys.executable, "-P", RELAY, sys.argv[2]], os.environ, limits=limits, logger_argv=sys.argv[3:] or None)
    )
