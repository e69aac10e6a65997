"""Classification: batches, augmentation, and both kinds of mean."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.tasks.augmentation import AUGMENTATIONS
from pipeline.tasks.image_classification import ImageClassification
from pipeline.views.image_classification import VIEW
from tests.conftest import build

CPU = torch.device("cpu")


def objective_of(params) -> ImageClassification:
    prepare(params, "vit")
    return build("vit", params, 0, data_dir("vit"), CPU)


@pytest.fixture
def plain(small):
    changed = small.content()
    changed["vit"]["objective"]["augmentation"] = "none"
    return objective_of(validate(changed))


def metrics_of_constant(task: ImageClassification, predicted: int) -> dict[str, float]:
    """Metrics on 25 pizza, 19 steak and 31 sushi for a model that always gives the same logits."""
    task.images["test_labels"] = torch.tensor([0] * 25 + [1] * 19 + [2] * 31)
    task.images["test_images"] = task.images["train_images"][:1].repeat(75, 1, 1, 1)
    logits = F.one_hot(torch.tensor(predicted), 3).float()
    return task.validate(lambda images: logits.expand(len(images), 3))


def test_an_epoch_sees_each_image_once(plain):
    assert (plain.examples, plain.steps_per_epoch) == (24, 3)
    seen = torch.cat([plain.batch(step)["images"] for step in range(3)])
    everything = plain.normalize(plain.images["train_images"])
    sums = [images.flatten(1).sum(1).sort().values for images in (seen, everything)]
    assert torch.equal(*sums)
    assert plain.examples_seen(7) == 2 * 24 + 8


def test_normalized_images_have_mean_zero_and_deviation_one(plain):
    images = plain.normalize(plain.images["train_images"]).double()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-4)
    deviation = images.std((0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(3).double(), rtol=0, atol=1e-4)


def test_pixels_that_are_not_normalized_are_from_0_to_1(small):
    changed = small.content()
    changed["vit"]["data"]["normalization"] = "none"
    plain = objective_of(validate(changed))
    images = plain.images["train_images"]
    assert torch.equal(plain.normalize(images), images.float() / 255)


def test_the_loss_is_smoothed_and_the_cross_entropy_beside_it_is_not(small):
    changed = small.content()
    changed["vit"]["objective"]["label_smoothing"] = 0.2
    objective = objective_of(validate(changed))
    model, batch = objective.build_model().eval(), objective.batch(0)
    loss, metrics = objective.loss(model, batch)
    logs = model(batch["images"]).log_softmax(1)
    plain = -logs.gather(1, batch["labels"][:, None]).mean()
    torch.testing.assert_close(metrics["cross_entropy"], plain.detach())
    torch.testing.assert_close(loss, 0.8 * plain - 0.2 * logs.mean())


def test_metrics_are_means_over_what_their_measure_says(plain, monkeypatch):
    over_images = plain.measures | {"batch_accuracy": plain.measures["accuracy"]}
    monkeypatch.setattr(type(plain), "measures", over_images)
    assert metrics_of_constant(plain, 2)["batch_accuracy"] == pytest.approx(31 / 75)


def test_the_references_three_accuracies(plain):
    """25 pizza, 19 steak and 31 sushi in batches of 32, 32, 11 give the only values in its log."""
    found = {}
    for index, name in enumerate(("pizza", "steak", "sushi")):
        metrics = metrics_of_constant(plain, index)
        found[name] = round(metrics["batch_accuracy"], 4)
    assert found == {"pizza": 0.2604, "steak": 0.1979, "sushi": 0.5417}
    assert metrics["accuracy"] == pytest.approx(31 / 75)


def test_the_baseline_answers_with_the_most_frequent_class(small, project):
    for number in range(5):  # five more of class1
        source = project / "images" / "class1" / f"{number}.png"
        (source.parent / f"more{number}.png").write_bytes(source.read_bytes())
    objective = objective_of(small)
    metrics = objective.evaluate(objective.build_model().eval())
    test = objective.images["test_labels"]
    assert metrics["baseline_accuracy"] == pytest.approx((test == 1).float().mean().item())


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_augmentation_changes_images_but_not_their_shape_or_kind(name):
    torch.manual_seed(0)
    images = torch.randint(256, (10, 3, 16, 16), dtype=torch.uint8)
    changed = AUGMENTATIONS[name](16)(images)
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert (changed != images).flatten(1).any(1).all()


def test_augmentation_draws_from_a_stream_of_its_own(small):
    objective = objective_of(small)
    torch.manual_seed(1)
    first = objective.batch(0)["images"]
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(objective.batch(0)["images"], first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # the global stream has not moved


class Answering:
    """A model with given classes and probabilities for the test images."""

    def __init__(self, classes: list[int], chances: list[float]):
        rest = [(1 - chance) / 2 for chance in chances]
        self.logits = torch.tensor(rest)[:, None].repeat(1, 3)
        self.logits[range(len(classes)), classes] = torch.tensor(chances)
        self.logits = self.logits.log()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


def sampled(plain, wrong: dict[int, float], count: int) -> dict[str, list]:
    """Samples of `count` test images; those in `wrong` get a wrong prediction with the given
    probability, all others the right one with 0.9."""
    labels = torch.arange(count) % 3
    plain.images |= {"test_labels": labels}
    plain.images["test_images"] = torch.zeros(count, 3, 8, 8, dtype=torch.uint8)
    answers = [(label + (i in wrong)) % 3 for i, label in enumerate(labels.tolist())]
    return VIEW.samples(plain, Answering(answers, [wrong.get(i, 0.9) for i in range(count)]))


def test_samples_are_mistakes_first_the_surest_before_others(plain):
    shown = sampled(plain, {5: 0.6, 40: 0.8, 41: 0.7}, 100)
    assert shown["images"][:3] == [40, 41, 5]
    assert shown["probability"][:3] == [0.8, 0.7, 0.6]
    wrong = [a != p for a, p in zip(shown["actual"], shown["predicted"], strict=True)]
    assert wrong == [True] * 3 + [False] * 13
    assert shown["images"][3] == 0 and shown["images"][-1] == 99  # right ones: spread out


def test_samples_have_some_right_answers_however_many_mistakes_there_are(plain):
    shown = sampled(plain, dict.fromkeys(range(90), 0.5), 100)
    assert len(shown["images"]) == 16
    assert shown["images"][:12] == list(range(12))  # equal probabilities: in order
    assert min(shown["images"][12:]) >= 90


@pytest.mark.parametrize(("wrong", "count"), [(0, 100), (30, 30), (2, 5), (29, 30)])
def test_samples_of_models_that_are_always_right_or_wrong_and_of_few_images(plain, wrong, count):
    shown = sampled(plain, dict.fromkeys(range(wrong), 0.5), count)
    assert len(set(shown["images"])) == min(16, count)


def test_the_lines_of_the_log_are_the_references(plain):
    rows = [{"cross_entropy": 1.0, "accuracy": 0.25}, {"cross_entropy": 1.2, "accuracy": 0.75}]
    validation = {"batch_loss": 1.0538, "batch_accuracy": 0.54167}
    assert plain.line(42, rows) == "Epoch: 14 | train_loss: 1.1000 | train_acc: 0.5000"
    assert plain.evaluation_line(validation) == "test_loss: 1.0538 | test_acc: 0.5417"
