"""`ctl VERB`: look at and steer a running tree. The verbs live in one module a group."""

from __future__ import annotations

from supervisor_tree.cli.errors import CommandError
from supervisor_tree.cli.parser import Parser, add_json, add_target, overview, take_command

PROG = "supervisor-tree ctl"

VERBS = {
    "status": ("show", "what runs, what does not, and what comes next", f"{PROG} status web"),
    "tree": ("show", "the tree drawn, with its strategies", f"{PROG} tree"),
    "why": ("explain", "how a child came to be as it is", f"{PROG} why web"),
    "describe": ("explain", "everything that is known about a child", f"{PROG} describe web --json"),
    "start": ("operate", "start what is stopped, held, failed or waiting to be tried", f"{PROG} start web"),
    "stop": ("operate", "stop until `ctl start`", f'{PROG} stop web --reason "new disk"'),
    "restart": ("operate", "stop and start; counts in no intensity", f"{PROG} restart web --tied"),
    "hold": ("operate", "hands off: no restart, no health kill, until `ctl release`", f"{PROG} hold web"),
    "release": ("operate", "end a hold", f"{PROG} release web"),
    "signal": ("operate", "send a signal to a worker", f"{PROG} signal USR1 web"),
    "wait": ("operate", "wait until children are in a state", f"{PROG} wait web --for running --timeout 30s"),
    "reload": ("reload", "read the tree file anew, or have workers reload theirs", f"{PROG} reload --plan"),
    "jobs": ("jobs", "jobs: what ran last and how, what is next, missed, late", f"{PROG} jobs"),
    "runs": ("jobs", "runs of jobs, stage by stage", f"{PROG} runs nightly -f"),
    "run": ("jobs", "run a job now", f"{PROG} run nightly --wait -- --date 2026-11-21"),
    "events": ("events", "what happened, and what happens", f"{PROG} events -f --since 10m"),
    "add": (
        "change",
        "add children from a tree file, or an instance of a template",
        f"{PROG} add more.toml --to market",
    ),
    "remove": ("change", "stop and delete what was added at run time", f"{PROG} remove fetch@7"),
    "recover": ("recover", "what a recovery rule would do", f"{PROG} recover guardian --dry-run --exit 2"),
    "locks": ("recover", "lock files: who holds them, and which are stale", f"{PROG} locks"),
    "ops": ("whole", "operations: under way and of the last ten minutes", f"{PROG} ops"),
    "cancel": ("whole", "give up an operation: what it has not begun is not begun", f"{PROG} cancel 1f3870be"),
    "upgrade": ("whole", "replace the root by the installed version; no worker is touched", f"{PROG} upgrade"),
    "shutdown": ("whole", "stop everything and end the tree", f"{PROG} shutdown"),
}
"""Verb → module, one line, an example."""


def run(argv: list[str]) -> int:
    """Run ``ctl`` with its arguments; returns the exit status.

    Raises:
        CommandError: whatever went wrong.
    """
    verb, argv = take_command(argv, VERBS, PROG)
    if verb is None:
        asked = "-h" in argv or "--help" in argv
        if not asked:
            raise CommandError("usage", "what is to be done?", f"one of: {' '.join(VERBS)}")
        print(overview(PROG, "Look at and steer a running tree.", VERBS, "All take -c FILE or -t NAME, and --json."))
        return 0
    from importlib import import_module

    module, summary, example = VERBS[verb]
    part = import_module(f"supervisor_tree.cli.{module}")
    arguments, act = part.VERBS[verb]
    parser = Parser(f"{PROG} {verb}", summary, example)
    arguments(parser)
    add_target(parser)
    add_json(parser)
    args = parser.parse(argv)
    args.verb = verb
    status: int = act(args)
    return status
