"""Trees from text: loaded, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor_tree import config

Good = Callable[..., config.Plan]
Bad = Callable[..., list[str]]


@pytest.fixture
def good(tmp_path: Path) -> Good:
    """A tree file that must load: ``good(text, VAR="value")``."""

    def load(text: str, /, *more: str, only: tuple[str, ...] = (), **environ: str) -> config.Plan:
        return config.load(_write(tmp_path, text, more), {"HOME": "/home/me", "PATH": "/bin"} | environ, only)

    return load


@pytest.fixture
def bad(tmp_path: Path) -> Bad:
    """A tree file that must be refused; the answer is its errors, without the folder."""

    def refuse(text: str, /, *more: str, **environ: str) -> list[str]:
        with pytest.raises(config.ConfigError) as caught:
            config.load(_write(tmp_path, text, more), {"HOME": "/home/me", "PATH": "/bin"} | environ)
        for problem in caught.value.errors:
            assert problem.file.startswith(str(tmp_path)), problem
            assert problem.line >= 1
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return refuse


def _write(folder: Path, text: str, more: tuple[str, ...]) -> list[str]:
    files = []
    for number, content in enumerate((text, *more)):
        file = folder / ("tree.toml" if number == 0 else f"tree{number}.toml")
        file.write_text(content, encoding="utf-8")
        files.append(str(file))
    return files
