"""The root: `python -m supervisor_tree.root`, spawned by the keeper with the link on a descriptor.

Start-up is ordered by what the user waits for: configuration, lock and the first commit (so that the keeper
spawns) come before ZeroMQ is imported and the control socket is bound.
"""

from __future__ import annotations

import gc
import os
import sys

from supervisor_tree.root.arguments import Arguments, parse


def main() -> int:
    """Exit status 2: the configuration is wrong (all errors are on standard error)."""
    arguments = parse(sys.argv[1:])
    if arguments.stack is not None:
        import faulthandler
        import signal

        # The keeper asks a blocked root for its stacks before it replaces it.
        faulthandler.register(signal.SIGUSR2, file=arguments.stack, all_threads=True)
    return _run(arguments)


def _run(arguments: Arguments) -> int:
    # Marks us for the sweep by what was there at exec; nothing that we run ourselves may carry it on.
    os.environ.pop("SUPERVISOR_TREE_ROLE", None)
    # Importing and reading make no garbage, and looking for some takes a tenth of the start. On again in `boot`.
    gc.disable()
    from supervisor_tree.root import boot

    return boot.run(arguments, os.environ)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The keeper waits for us, and to take an interpreter apart takes longer than to stop ten workers.
    os._exit(status)
