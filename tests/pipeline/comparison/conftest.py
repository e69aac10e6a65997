"""A repository with made-up results."""

from pathlib import Path

import pytest

from tests.pipeline.comparison import handmade


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose HEAD has results of gpt with three seeds."""
    folder = handmade.make(tmp_path / "repository")
    handmade.commit(folder)
    monkeypatch.chdir(folder)
    return folder
