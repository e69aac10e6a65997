"""Loads the model for a command, with its tokenizer or image preprocessing."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipeline import prompts, provenance
from pipeline.errors import UserError, as_user_errors, first_line
from pipeline.inference.generation import DEFAULTS, Generation, read_generation
from pipeline.paths import CONFIG, MODELS, data_dir, model_dir, read_json, require
from pipeline.prompts import Prompt
from pipeline.training import models
from pipeline.wording import wrapped
from transformer import Transformer
from transformer.positions import LearnedPositions
from transformer.weights import from_huggingface
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.preparation import Preparation, read_preparation
from transformer.weights.huggingface.settings import Settings
from transformer.weights.huggingface.tokenizer import read_tokenizer
from transformer.weights.huggingface.vit import labels

# Tensors of other tasks in published checkpoints.
OTHER_TASKS = ("bert.pooler.", "cls.seq_relationship.", "vit.pooler.")


@dataclass(frozen=True)
class Head:
    """What a model of a Hugging Face folder must be.

    kind: the class of its head. wanted: the kind of model, for error messages.
    mask: the mask token of the models trained here, if they have one.
    generates: whether to read the folder's generation settings.
    """

    kind: type
    wanted: str
    mask: str | None = None
    generates: bool = False


@dataclass(frozen=True)
class TextModel:
    """A language model.

    context: the most tokens that it sees.
    mask: the mask token, if it has one.
    generation: its generation settings.
    """

    model: Transformer
    tokenizer: Tokenizer
    context: int
    mask: str | None
    generation: Generation = DEFAULTS

    @classmethod
    def read(cls, folder: Path, tokenizer: Path, mask: str | None) -> "TextModel":
        """The trained model in `folder`, with the file of its tokenizer."""
        model, config = models.load(folder)
        return cls(model, Tokenizer.from_file(str(tokenizer)), config["length"], mask)

    def encode(self, text: str) -> Prompt:
        """The tokens of a text.

        Raises:
            UserError: the tokenizer cannot encode the text, or a token is not in the model's
                vocabulary.
        """
        try:
            prompt = self._read(text)
        except Exception as error:  # the library raises no specific class
            raise UserError(f"the text cannot be encoded: {first_line(error)}") from None
        count = len(self.model.embedding.weight)
        for token in prompt.ids:
            if token >= count:
                name = self.tokenizer.id_to_token(token)
                raise UserError(f"{name!r} is token {token}, but the model has {count} tokens")
        return prompt

    def _read(self, text: str) -> Prompt:
        return prompts.read(self.tokenizer, text, self.mask)


class HuggingFaceTextModel(TextModel):
    """A language model of a Hugging Face folder: its tokenizer adds special tokens, such as [CLS],
    and also finds them in the text."""

    def _read(self, text: str) -> Prompt:
        encoding = self.tokenizer.encode(text)
        unknown = getattr(self.tokenizer.model, "unk_token", None)
        pairs = zip(encoding.tokens, encoding.offsets, strict=True)
        words = [text[start:end] for token, (start, end) in pairs if token == unknown]
        return Prompt(encoding.ids, [word for word in words if word != unknown])


@dataclass(frozen=True)
class ImageModel:
    """A classifier, the names of its classes, and its image preprocessing.

    independent: whether several classes may be right; their probabilities then do not sum to 1.
    """

    model: Transformer
    classes: list[str]
    preparation: Preparation
    independent: bool = False


def text_model(head: Head, name: str, source: Path | None) -> TextModel:
    """The model trained here as `name`, or the one in the Hugging Face folder `source`.

    Raises:
        UserError: it is missing, of another kind, or has parts that are not supported.
    """
    if source is None:
        return TextModel.read(trained(name), data_dir(name) / "tokenizer.json", head.mask)
    model, _ = _from_folder(head, source)
    with as_user_errors():
        tokenizer, mask = read_tokenizer(source)
    generation = read_generation(source) if head.generates else DEFAULTS
    return HuggingFaceTextModel(model, tokenizer, _context(model), mask, generation)


def print_unknown_words(prompt: Prompt) -> None:
    """Print a note on the words of a text that are not in the vocabulary, if there are any."""
    if prompt.unknown:
        words = ", ".join(map(repr, dict.fromkeys(prompt.unknown)))
        print(wrapped(f"note: words that are not in the vocabulary: {words}"), file=sys.stderr)


def _context(model: Transformer) -> int:
    """The number of positions of a model, learned or rotary."""
    learned = model.embedding.positions
    if isinstance(learned, LearnedPositions):
        return learned.num_embeddings
    return len(model.blocks[0].attention.rotation.sine)


def image_model(head: Head, name: str, source: Path | None) -> ImageModel:
    """The classifier trained here as `name`, or the one in the Hugging Face folder `source`.

    Raises:
        UserError: as `text_model`, or its image preprocessing is not supported.
    """
    if source is None:
        model, config = models.load(trained(name))
        meta = read_json(data_dir(name) / "meta.json")
        size = (config["image_size"],) * 2
        # As in `prepare`: bilinear, ignoring the aspect ratio.
        preparation = Preparation(size, 2, 1 / 255, meta["mean"], meta["std"])
        return ImageModel(model, meta["classes"], preparation)
    model, config = _from_folder(head, source)
    classes = labels(Config(config, CONFIG))
    with as_user_errors():
        preparation = read_preparation(source, model.embedding)
    kind = config.get("problem_type")
    if kind not in (None, "single_label_classification", "multi_label_classification"):
        raise UserError(f"{source / CONFIG}: problem_type: {kind!r} is not supported")
    independent = kind == "multi_label_classification" or len(classes) == 1
    return ImageModel(model, classes, preparation, independent)


def trained(name: str) -> Path:
    """The folder of the model in models/<name> (the lowest seed); data/<name> exists too.

    Raises:
        UserError: it is not trained, its data is not prepared, or the two do not match.
    """
    found = (MODELS / name).glob("seed-*")
    seed = min((int(path.name.removeprefix("seed-")) for path in found), default=0)
    folder = require(model_dir(name, seed), f"dvc repro train@{name}-{seed}")
    require(data_dir(name) / "meta.json", f"dvc repro prepare@{name}")
    provenance.check_model(name, folder)
    return folder


def _from_folder(head: Head, source: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model in a Hugging Face folder, with its config.json."""
    with as_user_errors():
        config = Settings(source / CONFIG).values
        if "kind" in config:
            raise UserError(f"{source} has a model trained here: leave out --from to use it")
        model = from_huggingface(source, drop=OTHER_TASKS)
    if not isinstance(model.head, head.kind):
        found = config["architectures"][0]
        raise UserError(f"{source}: this command needs {head.wanted}, not a {found}")
    return model, config
