"""Documents and examples hold: every link, every tree file, every command that they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supervisor_tree import config
from supervisor_tree.cli.ctl import VERBS
from supervisor_tree.cli.main import COMMANDS
from tests.support.tree import REPOSITORY

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
TREES = sorted((REPOSITORY / "supervisor_tree" / "config" / "examples").rglob("*.toml"))


def blocks(language: str) -> list[object]:
    block = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(text, id=f"{document.relative_to(REPOSITORY)}-{number}")
        for document in DOCUMENTS
        for number, text in enumerate(block.findall(document.read_text()))
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_a_module_that_the_architecture_names_is_there() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+\.(?:py|mjs))`", text))
    assert named
    homes = (REPOSITORY, REPOSITORY / "supervisor_tree")
    assert [name for name in sorted(named) if not any((home / name).is_file() for home in homes)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_test_that_a_document_names_is_there(document: Path) -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", document.read_text())
    files = {file: (REPOSITORY / "tests" / file).read_text() for file, _ in named}
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in files[file]] == []


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_tree_that_a_document_shows_is_one(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    file.write_text(text)
    plan = config.load([str(file)], {"HOME": str(tmp_path), "PATH": "/bin"})
    assert plan.workers or plan.jobs


@pytest.mark.parametrize("file", TREES, ids=lambda path: str(path.name))
def test_an_example_that_is_packaged_is_a_tree(file: Path, tmp_path: Path) -> None:
    plan = config.load([str(file)], {"HOME": str(tmp_path), "PATH": "/bin"})
    assert plan.workers
    assert not plan.held


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_command_that_a_document_shows_exists(document: Path) -> None:
    # In code only: `supervisor-tree start …`, and `ctl verb` alone in running text
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", document.read_text(), re.DOTALL))
    verbs = set(re.findall(r"\bctl ([a-z]+)", code))
    commands = set(re.findall(r"\bsupervisor-tree ([a-z]+)", code)) - {"service"}  # named as to come
    assert verbs <= set(VERBS)
    assert commands <= set(COMMANDS)
