"""A missing or damaged report, or one of another version, gives a clear error."""

import pytest

from pipeline.errors import UserError
from pipeline.verification import verify
from tests.pipeline.verification.reports import (
    METRICS,
    REPORT,
    rewrite,
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"metrics.json is missing: run `dvc repro` first, or name a report"),
        ("loss: 1", "not JSON"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"), "not JSON"),
        ("[]", "not a report of this version of the program\n  at the top: "),
        (
            '{"git_commit": "0123abc-dirty"}',
            "`git checkout 0123abc` first\n  finished: field required",
        ),
    ],
)
def test_a_file_that_is_not_a_report_is_an_error(project, content, message):
    METRICS.parent.mkdir()
    if content is not None:
        METRICS.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        verify(REPORT, None, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["params"]["model"].update(n_layer="two"), "model.n_layer: should be a valid"),
        (lambda c: c["params"]["model"].update(depth=2), "model.depth: unknown key"),
        (lambda c: c["params"].update(seeds=[0, 1, 2]), r"models.bert: not a training for each"),
        (lambda c: c["models"].pop("vit"), "models.vit: not a training for each"),
        (lambda c: c["models"]["gpt"].update(trainings=1), "models.gpt.trainings: "),
        (lambda c: c["models"]["gpt"]["data"].update(fingerprint="0"), "not the report's data"),
    ],
)
def test_an_incomplete_report_is_an_error(reported, change, message):
    rewrite(change)
    with pytest.raises(UserError, match=message):
        verify(REPORT, "gpt", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing: there is no curve"),
        ("", "not a curve"),
        ("step,loss\n1,low", "low"),
        ("step,loss\n1,2,3", "longer than the header"),
    ],
)
def test_a_file_that_is_not_a_curve_is_an_error(reported, text, message):
    file = REPORT / "gpt" / "history.csv"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(UserError, match=message):
        verify(REPORT, "gpt", 1)
