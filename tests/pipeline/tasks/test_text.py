"""Examples from a text: from anywhere, or from the beginnings of lines; and the right answers."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.tasks.text import hits
from tests.conftest import build

LINES = [f"w{line} x{line} y{line}" for line in range(10)]


@pytest.fixture
def by_lines(small, project):
    """BERT on ten lines of three words, in sequences of eight."""
    (project / "text.txt").write_text("\n".join(LINES))
    raw = small.content()
    raw["bert"]["data"] |= {"examples": "lines", "validation_fraction": 0.0}
    raw["bert"]["train"]["batch_size"] = 4
    return validate(raw)


def objective_of(params):
    prepare(params, "bert")
    return build("bert", params, 0, data_dir("bert"), torch.device("cpu"))


def test_an_epoch_begins_an_example_at_each_line_once_and_drops_the_rest(by_lines):
    objective = objective_of(by_lines)
    word = objective.tokens.tokenizer.id_to_token
    for epoch in range(3):
        first = [
            word(row[0])
            for step in range(2)  # 10 lines in batches of 4: two are left out
            for row in objective.draw(2 * epoch + step, 4, 0).tolist()
        ]
        assert len(set(first)) == 8
        assert all(each.startswith("w") for each in first)


def test_examples_run_on_into_the_next_lines_and_past_the_end(by_lines):
    objective = objective_of(by_lines)
    word = objective.tokens.tokenizer.id_to_token
    text = " ".join(LINES + LINES).split()
    for line, row in enumerate(objective.tokens and objective.train_sample["labels"].tolist()):
        assert list(map(word, row)) == text[3 * line : 3 * line + 8]


def test_epochs_have_another_order_and_seeds_too(by_lines):
    objective = objective_of(by_lines)
    first, other_epoch = objective.draw(0, 4, 0), objective.draw(2, 4, 0)
    assert torch.equal(first, objective.draw(0, 4, 0))
    assert not torch.equal(first, other_epoch)
    assert not torch.equal(first, objective.draw(0, 4, 1))


def test_a_batch_of_more_examples_than_lines_is_refused(by_lines):
    with pytest.raises(UserError, match=r"bert.train.batch_size: 11, but the text has only 10"):
        objective_of(by_lines).draw(0, 11, 0)


def test_an_answer_is_right_if_fewer_than_k_others_are_as_likely():
    torch.manual_seed(0)
    logits, labels = torch.randn(200, 7), torch.randint(7, (200,))
    ranks = (1, 2, 5, 7, 9)
    best = logits.argsort(dim=1, descending=True)  # no two are equal
    wanted = [(best[:, :k] == labels[:, None]).sum().item() for k in ranks]
    assert hits(logits, labels, ranks).tolist() == wanted


def test_a_model_that_prefers_nothing_has_no_right_answer():
    labels = torch.arange(4)
    assert hits(torch.zeros(4, 7), labels, (1, 5)).tolist() == [0, 0]
    assert hits(torch.full((4, 7), torch.nan), labels, (1, 5)).tolist() == [0, 0]
