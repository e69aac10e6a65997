"""Read-only folders: a one-line error."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.test_full_disk import pipeline, small_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


def read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


@pytest.mark.parametrize("there", [True, False])
def test_data_that_cannot_be_written_are_an_error(small, project, there):
    with small_disk(project / "data", 1000):
        assert pipeline(small, "prepare", "--model", "gpt").returncode == 0
        if not there:
            shutil.rmtree(project / "data" / "gpt")
        read_only(project / "data")
        result = pipeline(small, "prepare", "--model", "gpt")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("error: data/gpt")
    assert "Read-only file system" in result.stderr
