"""params.yaml: all errors at once, each with its path and the expected value."""

import copy
import re

import pytest

from pipeline.errors import ParamsError
from pipeline.params import load, validate
from tests.conftest import ROOT, with_profile


def errors(raw) -> str:
    with pytest.raises(ParamsError) as caught:
        validate(raw)
    return str(caught.value)


def test_the_committed_file_is_valid():
    assert load(ROOT / "params.yaml").profile == "default"


@pytest.mark.parametrize("profile", ["record", "reference", "smoke"])
def test_every_profile_is_valid_over_the_default(raw, profile):
    text = (ROOT / "profile" / f"{profile}.yaml").read_text()
    assert text.startswith("# @package _global_\n")  # else Hydra nests it under `profile`
    params = validate(with_profile(raw, profile))
    assert params.profile == profile


def test_all_errors_at_once_each_with_its_path(raw):
    raw["model"]["n_layers"] = 6
    raw["gpt"]["train"]["lr"] = "fast"
    del raw["bert"]["train"]["steps"]
    message = errors(raw)
    assert "3 errors" in message  # a shared key that is wrong for all models is one error
    assert "model.n_layers: unknown key; did you mean 'n_layer'?" in message
    assert "gpt.train.lr: should be a valid number, found str 'fast'" in message
    assert "bert.train.steps: missing" in message


def test_contradictions_of_each_model_are_named_at_once(raw):
    raw["model"]["n_head"] = 3
    raw["vit"]["data"]["image_size"] = 30
    message = errors(raw)
    assert "2 errors" in message  # n_head 3 is wrong for all models
    assert "vit.data.image_size: 30 is not divisible by vit.model.patch_size, 7" in message
    assert "  model.d_model: 128 is not divisible by model.n_head, 3\n" in message


def test_a_shared_key_of_the_recipe_is_overridden_by_a_models_own(raw):
    raw["gpt"]["train"]["accumulate"] = 3
    message = errors(raw)
    assert "gpt.train.batch_size: 16 is not divisible by gpt.train.accumulate, 3" in message
    raw["gpt"]["train"]["accumulate"] = 2
    params = validate(raw)
    assert [params.section(name).train.accumulate for name in ("gpt", "bert")] == [2, 1]
    raw["train"] = None
    assert "  train: should be a section, found nothing" in errors(raw)
    del raw["train"]
    raw["trian"] = {}
    message = errors(raw)
    assert "  train: missing" in message
    assert "  trian: unknown key; did you mean 'train'?" in message
    assert "2 errors" in message


def test_a_key_that_is_missing_for_all_models_is_one_error(raw):
    schedule = raw["train"].pop("schedule")
    message = errors(raw)
    assert message.endswith("1 error\n  train.schedule: missing")
    raw["gpt"]["train"]["schedule"] = schedule  # now each of the others may need its own
    message = errors(raw)
    assert "3 errors" in message
    assert "  bert.train.schedule: missing\n" in message
    raw["train"]["schedule"] = schedule
    del raw["vit"]["train"]["lr"]  # a key that each model has for itself
    assert errors(raw).endswith("1 error\n  vit.train.lr: missing")


def test_a_second_model_of_a_task_is_an_entry(raw):
    raw["bert_large"] = copy.deepcopy(raw["bert"])
    raw["bert_large"]["model"]["n_layer"] = 8
    raw["model_names"] = ["bert_large", "vit"]
    params = validate(raw)
    assert params.model_names == ["bert_large", "vit"]
    assert params.section("bert_large").architecture.n_layer == 8
    assert params.section("bert").architecture.n_layer == 4
    assert params.of_task("masked_lm") == "bert_large"
    assert params.of_task("causal_lm") == "gpt"  # not run, but known


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bert.task", "masked_ml", "bert.task: no task 'masked_ml'; did you mean 'masked_lm'?"),
        ("bert.task", 3, "bert.task: no task 3; known: causal_lm, grapheme_to_phoneme, image"),
        ("model_names", ["brt"], "model_names: no section 'brt'; did you mean 'bert'?"),
        ("model_names", ["model"], "model_names: no section 'model'"),
        ("model_names", [], "model_names: list should have at least 1 item"),
        ("model_names", ["bert", "bert"], "model_names: one is listed twice"),
        ("own", {"task": "masked_lm"}, "own: the name of a model should be lower-case letters"),
        ("a-b", {"task": "masked_lm"}, "a-b: the name of a model should be lower-case letters"),
        ("seed", 1, "seed: unknown key; did you mean 'seeds'?"),
        ("bertt", {}, "bertt: unknown key; a model's section has a `task:`"),
        ("vit.train", [], "vit.train: should be a section, found list []"),
    ],
)
def test_models_and_tasks_are_refused_by_name(raw, key, value, message):
    *sections, last = key.split(".")
    section = raw
    for name in sections:
        section = section[name]
    section[last] = value
    assert message in errors(raw)


def test_heads_that_do_not_fit_each_other_are_refused(raw):
    raw["gpt"]["model"] |= {"n_kv_head": 3}
    raw["bert"]["model"] |= {"positions": "rotary", "n_head": 128}
    message = errors(raw)
    assert "model.n_head: 4 is not divisible by gpt.model.n_kv_head, 3" in message
    line = "bert.model.positions: 'rotary' needs heads of even width, not 1, which is"
    assert f"{line} model.d_model 128 / bert.model.n_head 128" in message


def test_an_override_is_named_where_it_stands(raw):
    raw["gpt"]["model"]["n_head"] = 5
    message = errors(raw)
    assert "model.d_model: 128 is not divisible by gpt.model.n_head, 5" in message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.n_layer", 0),
        ("model.n_layer", 4.0),
        ("model.n_layer", True),
        ("model.dropout", 1.0),
        ("model.norm", "pre"),
        ("model.norm_position", "middle"),
        ("model.n_kv_head", -1),
        ("model.qk_norm", "no"),
        ("bert.train.lr", -1.0),
        ("bert.train.lr", float("nan")),
        ("bert.train.betas", [0.9]),
        ("bert.data.validation_fraction", 1.0),
        ("gpt.train.optimizer", "sgd"),
        ("gpt.model.tie_embeddings", None),
        ("vit.model.n_head", 1.5),
        ("vit.model.stem", "conv"),
        ("vit.objective.mixup", -0.1),
        ("vit.objective.mixup", 0.001),
        ("vit.objective.cutmix", 1e4),
        ("threads", 0),
        ("device", "tpu"),
        ("seeds", [-1]),
        ("seeds", []),
        ("seeds", [1, 1]),
        ("model", []),
        ("bert", None),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(raw, path, value):
    *sections, key = path.split(".")
    section = raw
    for name in sections:
        section = section[name]
    section[key] = value
    assert re.search(rf"^  {re.escape(path)}\b", errors(raw), re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "value", "bound"),
    [
        ("model.n_layer", 10**9, "less than or equal to 256"),
        ("model.d_model", 2**40, "less than or equal to 65536"),
        ("bert.data.sequence_length", 10**9, "less than or equal to 131072"),
        ("bert.train.batch_size", 10**12, "less than or equal to 1000000"),
        ("gpt.train.steps", 10**15, "less than or equal to 10000000"),
        ("gpt.train.lr", 1e300, "less than or equal to 1000000000000"),
        ("gpt.train.clip_norm", 1e300, "less than or equal to 1000000"),
        ("vit.data.image_size", 10**6, "less than or equal to 4096"),
        ("threads", 10**6, "less than or equal to 1024"),
        ("vit.data.split_seed", 2**63, "less than 9223372036854775808"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_absurd_size_is_refused_with_its_bound(raw, path, value, bound):
    *sections, key = path.split(".")
    section = raw
    for name in sections:
        section = section[name]
    section[key] = value
    assert re.search(rf"^  {re.escape(path)}: .*{bound}", errors(raw), re.MULTILINE)


def test_a_list_of_another_length_is_refused_in_plain_words(raw):
    raw["seeds"], raw["bert"]["train"]["betas"] = [], [0.1, 0.2, 0.3]
    message = errors(raw)
    assert "  seeds: list should have at least 1 item, not 0, found list []" in message
    assert "  bert.train.betas: list should have at most 2 items, not 3, found list" in message


def test_values_that_do_not_go_together_are_refused(raw):
    raw["gpt"]["train"] |= {"steps": 10, "warmup_steps": 11}
    raw["bert"]["data"]["sequence_length"] = 3
    raw["bert"]["objective"]["masking"]["fraction"] = 0.05
    message = errors(raw)
    assert "gpt.train.warmup_steps: 11, but training has only 10 steps" in message
    where = "bert.objective.masking.fraction: 0.05 of bert.data.sequence_length 3 is less"
    assert where in message
    assert "at least 0.17" in message
    assert "2 errors" in message


def test_a_convolutional_stem_needs_sizes_that_it_can_halve(raw):
    raw["vit"]["model"] |= {"stem": "convolutional"}
    message = errors(raw)
    assert "1 error" in message
    assert "vit.model.patch_size: 7, but vit.model.stem 'convolutional' needs a power" in message
    raw["vit"]["data"]["image_size"], raw["vit"]["model"]["patch_size"] = 32, 1
    assert "vit.model.patch_size: 1, but vit.model.stem 'convolutional'" in errors(raw)
    raw["vit"]["model"] |= {"patch_size": 8, "n_head": 2, "d_model": 30}
    message = errors(raw)
    assert "needs vit.model.d_model divisible by 4, not 30: the channels double" in message
    raw["vit"]["model"] |= {"d_model": 32}
    validate(raw)


def test_frequent_tokens_alone_are_no_sampled_softmax(raw):
    raw["gpt"]["objective"]["sampled_softmax"] = {"frequent": 100, "random": 0}
    assert "gpt.objective.sampled_softmax.random: should be above 0" in errors(raw)
    raw["gpt"]["objective"]["sampled_softmax"] = {"frequent": 100, "random": 1}
    validate(raw)


def test_an_override_left_blank_is_not_taken_for_the_shared_value(raw):
    raw["gpt"]["model"]["n_layer"] = None
    assert "gpt.model.n_layer: should be a valid integer, found nothing" in errors(raw)


def test_intervals_longer_than_the_training_are_its_end(raw):
    from pipeline.training.loop import Plan

    raw["gpt"]["train"] |= {"steps": 30, "evaluate_every": 10**7, "checkpoint_every": 10**7}
    plan = Plan.of(validate(raw).section("gpt").train, None)
    assert plan.due(29) == (False, False, False)
    assert plan.due(30)[:2] == (True, True)


def test_overrides_apply_to_their_model_alone(raw):
    raw["gpt"]["model"]["n_layer"] = 9
    params = validate(raw)
    assert params.section("gpt").architecture.n_layer == 9
    assert params.section("bert").architecture.n_layer == raw["model"]["n_layer"]


@pytest.mark.parametrize("written", ["1e-05", "1.0e-5", "0.00001"])
def test_numbers_as_dvc_writes_them_are_read(tmp_path, written):
    text = (ROOT / "params.yaml").read_text()
    changed = re.sub(r"(?m)^    lr: \S+", f"    lr: {written}", text, count=1)
    assert changed != text
    file = tmp_path / "params.yaml"
    file.write_text(changed)
    assert load(file).section("bert").train.lr == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a mapping of sections at the top, found nothing"),
        (b"- a\n- b\n", "expected a mapping"),
        (b"model: {\n", "line"),
        (b"seeds: [1]\nseeds: [2]\n", 'found duplicate key "seeds"'),
        (b"seed: \xff\n", "not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_params_file_is_refused(tmp_path, content, message):
    file = tmp_path / "params.yaml"
    file.write_bytes(content)
    with pytest.raises(ParamsError, match=re.escape(message)):
        load(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="cannot be read: No such file"):
        load(tmp_path / "params.yaml")
