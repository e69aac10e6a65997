"""The model that a command is to use, with what turns its input into tensors and back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pipeline import models, prompts, provenance
from pipeline.errors import UserError, first_line
from pipeline.inference.generation import UNSAID, Generation, read_generation
from pipeline.inference.preparation import Preparation, read_preparation
from pipeline.inference.settings import Settings
from pipeline.inference.tokenizer import read_tokenizer
from pipeline.paths import data_dir, models_dir, read_json, require
from pipeline.prompts import Prompt
from transformer import Transformer
from transformer.heads import ClassificationHead, LanguageModelHead, MaskedLanguageModelHead
from transformer.positions import LearnedPositions
from transformer.weights import from_huggingface
from transformer.weights.huggingface.config import Config
from transformer.weights.huggingface.vit import labels

# Tensors of other tasks, which published checkpoints hold besides those of the one named.
OTHER_TASKS = ("bert.pooler.", "cls.seq_relationship.", "vit.pooler.")
# Which head a command needs, and what a model with it is called.
HEADS = {
    "bert": (MaskedLanguageModelHead, "a masked language model (BertForMaskedLM or Megatron's)"),
    "gpt": (LanguageModelHead, "a causal language model (GPT2LMHeadModel, LlamaForCausalLM)"),
    "vit": (ClassificationHead, "an image classifier (ViTForImageClassification)"),
}


@dataclass(frozen=True)
class TextModel:
    """A language model.

    context: tokens that it sees at most.
    mask: the token that stands for a word to guess, if there is one.
    generation: how it writes.
    """

    model: Transformer
    tokenizer: Tokenizer
    context: int
    mask: str | None
    generation: Generation = UNSAID

    def encode(self, text: str) -> Prompt:
        """The tokens of a text.

        Raises:
            UserError: the tokenizer has none for a part of the text, or the model does not have
                one of them.
        """
        try:
            prompt = self._read(text)
        except Exception as error:  # the library raises nothing more exact
            raise UserError(f"not to be encoded: {first_line(error)}") from None
        count = len(self.model.embedding.weight)
        for token in prompt.ids:
            if token >= count:
                name = self.tokenizer.id_to_token(token)
                raise UserError(f"{name!r} is token {token}, but the model has only {count} tokens")
        return prompt

    def _read(self, text: str) -> Prompt:
        return prompts.read(self.tokenizer, text, self.mask)


class GivenTextModel(TextModel):
    """One of a Hugging Face folder: its input is framed by special tokens, such as [CLS], and may
    name any of them."""

    def _read(self, text: str) -> Prompt:
        encoding = self.tokenizer.encode(text)
        unknown = getattr(self.tokenizer.model, "unk_token", None)
        pairs = zip(encoding.tokens, encoding.offsets, strict=True)
        words = [text[start:end] for token, (start, end) in pairs if token == unknown]
        return Prompt(encoding.ids, [word for word in words if word != unknown])


@dataclass(frozen=True)
class ImageModel:
    """A classifier, the names of its classes by their index, and how its images are prepared.

    independent: whether several classes may be right, so that their probabilities do not add up.
    """

    model: Transformer
    classes: list[str]
    preparation: Preparation
    independent: bool = False


def text_model(name: str, source: Path | None) -> TextModel:
    """The model trained here as `name`, or the one in the Hugging Face folder `source`.

    Raises:
        UserError: it is not there, of another kind, or has parts that are not supported.
    """
    if source is None:
        model, config = trained(name)
        tokenizer = Tokenizer.from_file(str(data_dir(name) / "tokenizer.json"))
        return TextModel(model, tokenizer, config["length"], "[MASK]" if name == "bert" else None)
    model, config = _given(name, source)
    tokenizer, mask = read_tokenizer(source, config)
    generation = read_generation(source) if name == "gpt" else UNSAID
    return GivenTextModel(model, tokenizer, _context(model), mask, generation)


def _context(model: Transformer) -> int:
    """Tokens that a model has positions for: learned ones, or rotations."""
    learned = model.embedding.positions
    if isinstance(learned, LearnedPositions):
        return learned.num_embeddings
    return len(model.blocks[0].attention.rotation.sine)


def image_model(source: Path | None) -> ImageModel:
    """The classifier trained here, or the one in the Hugging Face folder `source`.

    Raises:
        UserError: as `text_model`, or its images are to be prepared in a way that is not
            supported.
    """
    if source is None:
        model, config = trained("vit")
        meta = read_json(data_dir("vit") / "meta.json")
        size = (config["image_size"],) * 2
        # As `prepare` does it: bilinear, whatever the aspect ratio.
        preparation = Preparation(size, 2, 1 / 255, meta["mean"], meta["std"])
        return ImageModel(model, meta["classes"], preparation)
    model, config = _given("vit", source)
    classes = labels(Config(config, models.CONFIG))
    preparation = read_preparation(source, model.embedding)
    kind = config.get("problem_type")
    if kind not in (None, "single_label_classification", "multi_label_classification"):
        raise UserError(f"{source / models.CONFIG}: problem_type: {kind!r} has no probabilities")
    independent = kind == "multi_label_classification" or len(classes) == 1
    return ImageModel(model, classes, preparation, independent)


def trained(name: str) -> tuple[Transformer, dict[str, Any]]:
    """models/<name> as `train` left it, of several seeds the first, with its config; data/<name>
    is there too.

    Raises:
        UserError: it is not trained, its data is not prepared, or the two do not belong together.
    """
    folders = require(models_dir(name), f"dvc repro train@{name}").glob("seed-*")
    folder = min(folders, key=lambda path: int(path.name.removeprefix("seed-")))
    require(data_dir(name) / "meta.json", f"dvc repro prepare@{name}")
    provenance.check_model(name, folder)
    return models.load(folder)


def _given(name: str, source: Path) -> tuple[Transformer, dict[str, Any]]:
    """The model in a Hugging Face folder, with its config.json."""
    config = Settings(source / models.CONFIG).values
    if "kind" in config:
        raise UserError(f"{source} holds a model trained here: leave out --from to use it")
    try:
        model = from_huggingface(source, drop=OTHER_TASKS)
    except ValueError as error:
        raise UserError(str(error)) from None
    head, wanted = HEADS[name]
    if not isinstance(model.head, head):
        found = config["architectures"][0]
        raise UserError(f"{source}: this command needs {wanted}, but that is a {found}")
    return model, config
