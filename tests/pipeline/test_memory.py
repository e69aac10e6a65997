"""Out of memory: a one-line error, for any library."""

import numpy as np
import pytest
import torch

from pipeline.errors import reports_errors


@pytest.mark.parametrize(
    "ask",
    [lambda: bytearray(10**17), lambda: np.ones(10**15), lambda: torch.empty(10**15)],
    ids=["Python", "NumPy", "torch"],
)
def test_too_much_memory_is_reported_without_a_traceback(ask, capsys):
    with pytest.raises(SystemExit) as ended:
        reports_errors(ask)()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: not enough memory: ")
    assert line.endswith("use a smaller model, batch or sequence")


def test_another_error_is_a_traceback(capsys):
    def fail() -> None:
        raise RuntimeError("a mistake of the program")

    with pytest.raises(RuntimeError):
        reports_errors(fail)()
