"""Mixing: labels have each image's share of the pixels, drawn from the given distribution."""

import pytest
import torch
from scipy import stats
from timm.data import Mixup

from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.stages.prepare import prepare
from pipeline.tasks.image_classification import ImageClassification
from pipeline.tasks.mixing import mixing
from pipeline.training.loop import training_step
from pipeline.training.optimizers import build as build_optimizers
from tests.conftest import build

CPU = torch.device("cpu")
# Three images of 16 x 16 pixels, each of one value, with another class each.
VALUES = torch.tensor([0.0, 10.0, 100.0])
IMAGES = VALUES.view(3, 1, 1, 1).expand(3, 2, 16, 16)
LABELS = torch.tensor([2, 0, 1])
PARTNERS = [2, 0, 1]  # of each image, the one that is mixed in


def objective_of(small, **changes) -> ImageClassification:
    changed = small.content()
    changed["vit"]["objective"] |= changes
    params = validate(changed)
    prepare(params, "vit")
    return build("vit", params, 0, data_dir("vit"), CPU)


def test_mixup_equals_a_hand_computation():
    torch.manual_seed(0)
    images, labels = mixing(1.0, 0.0, 3)(IMAGES, LABELS)
    share = labels[0, 2].item()
    assert 0.05 < share < 0.95
    for i, partner in enumerate(PARTNERS):
        value = share * VALUES[i] + (1 - share) * VALUES[partner]
        torch.testing.assert_close(images[i], value.expand(2, 16, 16))
        expected = torch.zeros(3)
        expected[LABELS[i]], expected[LABELS[partner]] = share, 1 - share
        torch.testing.assert_close(labels[i], expected)


@torch.no_grad()
def test_mixup_is_timms_for_the_same_share():
    """timm mixes an image with its mirror in the batch, which in a batch of two is the other."""
    torch.manual_seed(0)
    images, labels = torch.randn(2, 3, 8, 8), torch.tensor([1, 0])
    mixed, soft = mixing(0.8, 0.0, 3)(images, labels)
    theirs = Mixup(mixup_alpha=0.8, label_smoothing=0.0, num_classes=3)
    share = (soft[0, 1].item(), False)
    theirs._params_per_batch = lambda: share  # noqa: SLF001  # else it draws one
    expected, targets = theirs(images.clone(), labels)
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(soft, targets)


def test_cutmix_pastes_a_box_and_labels_have_the_shares_of_pixels():
    seen = set()
    for seed in range(50):
        torch.manual_seed(seed)
        images, labels = mixing(0.0, 1.0, 3)(IMAGES, LABELS)
        pasted = images[0, 0] != VALUES[0]
        rows, columns = pasted.any(1).sum(), pasted.any(0).sum()
        assert pasted.sum() == rows * columns  # a box
        for i, partner in enumerate(PARTNERS):
            other = torch.where(pasted, VALUES[partner], VALUES[i])
            assert torch.equal(images[i], other.expand(2, 16, 16))  # the same box in each
            share = pasted.float().mean()
            torch.testing.assert_close(labels[i, LABELS[partner]], share)
            torch.testing.assert_close(labels[i, LABELS[i]], 1 - share)
        seen.add(int(pasted.sum()))
    assert len(seen) >= 20


@pytest.mark.parametrize("concentration", [0.4, 1.0, 5.0])
def test_shares_of_mixup_are_of_the_beta_distribution(concentration):
    torch.manual_seed(0)
    mix, pair = mixing(concentration, 0.0, 2), (torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]))
    shares = [mix(*pair)[1][0, 0].item() for _ in range(600)]
    beta = stats.beta(concentration, concentration)
    assert stats.kstest(shares, beta.cdf).pvalue > 0.01
    other = stats.beta(2 * concentration, 2 * concentration)
    assert stats.kstest(shares, other.cdf).pvalue < 0.01


def test_with_both_half_of_the_batches_get_each():
    torch.manual_seed(0)
    mix = mixing(1.0, 1.0, 3)
    pasted = [set(mix(IMAGES, LABELS)[0].unique().tolist()) <= set(VALUES.tolist())
              for _ in range(400)]  # fmt: skip
    assert 160 < sum(pasted) < 240


def test_without_mixing_images_and_labels_stay():
    images, labels = mixing(0.0, 0.0, 3)(IMAGES, LABELS)
    assert images is IMAGES and labels is LABELS


def test_the_smoothed_loss_of_mixed_labels_equals_a_hand_computation(small):
    objective = objective_of(small, mixup=1.0, label_smoothing=0.2)
    model, batch = objective.build_model().eval(), objective.batch(0)
    assert batch["labels"].shape == (8, 3)
    torch.testing.assert_close(batch["labels"].sum(1), torch.ones(8))
    loss, metrics = objective.loss(model, batch)
    logs, labels = model(batch["images"]).log_softmax(1), batch["labels"]
    plain = -(labels * logs).sum(1).mean()
    torch.testing.assert_close(metrics["cross_entropy"], plain.detach())
    torch.testing.assert_close(loss, 0.8 * plain - 0.2 * logs.mean())
    shares = [row[guess].item() for row, guess in zip(labels, logs.argmax(1), strict=True)]
    assert metrics["accuracy"].item() == pytest.approx(sum(shares) / 8)


def test_mixing_is_a_function_of_seed_and_step_and_moves_no_other_stream(small):
    mixed, plain = objective_of(small, mixup=1.0, cutmix=1.0), objective_of(small)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = mixed.batch(4)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    mixed.batch(5)
    again, other = mixed.batch(4), mixed.batch(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["labels"], other["labels"])
    # Unmixed batches have the same images in the same order, augmented in the same way.
    mixed.mix = lambda images, labels: (images, labels)
    unmixed, expected = mixed.batch(4), plain.batch(4)
    assert all(torch.equal(unmixed[key], expected[key]) for key in expected)


def test_micro_batches_change_neither_what_is_mixed_nor_the_loss(small):
    metrics = []
    for parts in (1, 4):
        objective = objective_of(small, cutmix=1.0, augmentation="none")
        model = objective.build_model()
        settings = objective.section.train.model_copy(update={"accumulate": parts})
        metrics.append(
            training_step(model, objective, build_optimizers(model, settings), settings, 1)
        )
    for key, value in metrics[0].items():
        torch.testing.assert_close(metrics[1][key], value)


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_the_log_says_what_its_metrics_are_of(small, changes):
    assert "mixed labels" in objective_of(small, **changes).legend
    assert not objective_of(small).legend
