"""`docs/reference-command-line.md`, made from the commands' own help by `python -m supervisor_tree.cli.reference_page`.

Made with Python 3.11: later ones word `--help` a little differently.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from supervisor_tree.cli import ctl
from supervisor_tree.cli.main import COMMANDS
from supervisor_tree.cli.parser import Parser, add_json, add_target

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 98

_HEAD = """# Command line

Made by `supervisor_tree.cli.reference_page` from the commands' own `--help`; edit those, not this page.

Which tree is meant: `-c FILE`, else `-t NAME`, else `$SUPERVISOR_TREE_CONFIG` (set in every worker), else
`./tree.toml`, else the only tree of this user that runs.

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | failed, or refused |
| 2 | a mistake in the command line or in the tree file |
| 3 | no tree is running, or it is not clear which is meant |
| 4 | no such worker, supervisor or job |
| 124 | a wait ran out |
| 125 | `exec`, `guard`: the program never began; otherwise they end as the program does |

Errors go to standard error, or with `--json` to standard output as `{"error": {"code", "message", "mend"}}`.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for name, (module, summary, example) in COMMANDS.items():
        if name != "ctl":
            parser = Parser(f"supervisor-tree {name}", summary, example, _WIDTH)
            import_module(f"supervisor_tree.cli.{module}").arguments(parser)
            yield _section(name, parser)
    for name, (module, summary, example) in ctl.VERBS.items():
        parser = Parser(f"{ctl.PROG} {name}", summary, example, _WIDTH)
        import_module(f"supervisor_tree.cli.{module}").VERBS[name][0](parser)
        add_target(parser)
        add_json(parser)
        yield _section(f"ctl {name}", parser)


def _section(title: str, parser: Parser) -> str:
    return f"## {title}\n\n```\n{parser.format_help().strip()}\n```\n"


if __name__ == "__main__":
    print(page(), end="")
