"""Estimates how much training follows the current one, for the time left on the console."""

from typing import Any

from pipeline import MODELS, progress, records
from pipeline.params import EpochTraining, Params
from pipeline.paths import data_dir, read_json
from pipeline.training.checkpoint import identity


def after(params: Params, name: str, seed: int) -> float:
    """The work of all trainings after the one of the model `name` with `seed`, as a multiple of it.

    These are the other seeds and, if `dvc` runs the whole pipeline, the other models, except those
    in DVC's cache.
    """
    following = params.seeds[params.seeds.index(seed) + 1 :]
    own = rest = 0.0
    for model in MODELS[MODELS.index(name) :]:
        meta = data_dir(model) / "meta.json"
        if not meta.exists():
            continue
        data = read_json(meta)
        cost = work(params, model, data)
        if model == name:
            own, rest = cost, cost * len(following)
        elif progress.whole():
            keys = {s: identity(params, model, s, data["fingerprint"]) for s in params.seeds}
            if not all(records.made("train", f"{model}-{s}", key) for s, key in keys.items()):
                rest += cost * len(keys)
    return rest / own


def work(params: Params, name: str, meta: dict[str, Any]) -> float:
    """Approximate FLOPs of a training: six for each weight and token (Kaplan et al. 2020, "Scaling
    Laws for Neural Language Models", section 2.1).

    meta: of the prepared data.
    """
    section, shape = params.section(name), params.architecture(name)
    blocks = shape.n_layer * (4 * shape.d_model**2 + 2 * shape.d_model * shape.d_mlp)
    if isinstance(section.train, EpochTraining):
        patches = (meta["image_size"] // section.model.patch_size) ** 2
        return 6.0 * blocks * patches * meta["train_images"] * section.train.epochs
    tokens = section.train.steps * section.train.batch_size * meta["sequence_length"]
    # BERT's head computes logits only for masked tokens.
    scored = section.objective.masking.fraction if name == "bert" else 1.0
    sampled, vocabulary = section.objective.sampled_softmax, meta["vocabulary_size"]
    if sampled.random:
        vocabulary = min(vocabulary, sampled.frequent + sampled.random)
    return 6.0 * (blocks + scored * shape.d_model * vocabulary) * tokens
