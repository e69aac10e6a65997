"""Reads the tokenizer of a Hugging Face folder, equal to the one that transformers creates.

This module needs the library tokenizers.
"""

from pathlib import Path
from typing import Any

from transformer.weights.huggingface.files import needs, read_config
from transformer.weights.huggingface.settings import Settings

with needs("tokenizers"):
    from tokenizers import AddedToken, Tokenizer, decoders
    from tokenizers.implementations import BertWordPieceTokenizer, ByteLevelBPETokenizer
    from tokenizers.models import BPE, WordLevel
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Metaspace
    from tokenizers.processors import BertProcessing

# The default class of each model_type, and the special tokens of each class.
CLASSES = {"bert": "BertTokenizer", "megatron-bert": "BertTokenizer", "gpt2": "GPT2Tokenizer"}
SPECIAL = {
    "BertTokenizer": {f"{name}_token": f"[{name.upper()}]"
                      for name in ("unk", "sep", "pad", "cls", "mask")},
    "GPT2Tokenizer": dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>"),
}  # fmt: skip
# Classes that use a tokenizer.json unchanged; '' for a model_type without a default class.
GENERIC = ("", "PreTrainedTokenizer", "TokenizersBackend")
SPECIAL_KEYS = ("bos_token", "eos_token", *SPECIAL["BertTokenizer"])
# Fields of a special token that control how it is found in a text.
FOUND_BY = {"lstrip", "normalized", "rstrip", "single_word", "special"}
# Keys that do not matter for a single text without padding and truncation.
WITHOUT_EFFECT = {
    "backend", "chat_template", "errors", "files_loaded", "from_slow",
    "full_tokenizer_file", "init_inputs", "is_local", "local_files_only", "max_len",
    "max_length", "merges_file", "model_input_names", "model_max_length", "name_or_path",
    "pad_to_multiple_of", "pad_token_type_id", "padding_side", "processor_class",
    "sp_model_kwargs", "spaces_between_special_tokens", "special_tokens_map_file", "stride",
    "tokenizer_file", "trim_offsets", "truncation_side", "truncation_strategy",
    "use_default_system_prompt", "use_fast", "verbose", "vocab_file", "vocab_size",
}  # fmt: skip
# Keys that matter only where they are read; other classes ignore them.
OF_SOME_CLASSES = {
    "add_bos_token", "add_eos_token", "add_prefix_space", "clean_up_tokenization_spaces",
    "do_lower_case", "legacy", "strip_accents", "tokenize_chinese_chars",
}  # fmt: skip


def read_tokenizer(folder: Path | str) -> tuple[Tokenizer, str | None]:
    """The tokenizer of a folder, and its mask token if it has one.

    It encodes single, whole texts: it neither pads nor truncates.

    Raises:
        ValueError: it is missing or not readable, or a key of tokenizer_config.json is not
            supported.
    """
    folder = Path(folder)
    config = read_config(folder)
    settings = Settings(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in settings.values:  # the older format, with more files
        settings.values |= Settings(folder / "special_tokens_map.json").values
    named = settings.take("tokenizer_class") or config.get("tokenizer_class")
    kind = str(named or CLASSES.get(str(config.get("model_type")), "")).removesuffix("Fast")
    if kind not in (*GENERIC, *BUILDERS):
        raise settings.refusal("tokenizer_class", f"{kind} is not supported")
    tokenizer = _read(folder, kind, settings)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if kind in BUILDERS:
        BUILDERS[kind](tokenizer, settings)
    mask = _add_special(tokenizer, kind, settings)
    for key, usual in (("do_basic_tokenize", True), ("split_special_tokens", False)):
        settings.expect(key, usual)
    settings.expect("never_split", [])
    # transformers ignores this for BPE; WordPiece's decoder does it in any case.
    if isinstance(tokenizer.model, WordLevel):
        settings.expect("clean_up_tokenization_spaces", False)
    settings.finish(WITHOUT_EFFECT | OF_SOME_CLASSES)
    return tokenizer, mask


def _read(folder: Path, kind: str, settings: Settings) -> Tokenizer:
    """Read the tokenizer from any of its file formats."""
    names = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
    whole, words, vocabulary, merges = (folder / name for name in names)
    if whole.is_file():
        return _built(whole, lambda: Tokenizer.from_file(str(whole)))
    more = folder / "added_tokens.json"
    if more.is_file():
        raise ValueError(f"{more}: only supported as part of a tokenizer.json, which is missing")
    if words.is_file() and kind == "BertTokenizer":
        named = {key: str(token) for key, token in _named(settings).items() if key in SPECIAL[kind]}
        return _built(words, lambda: BertWordPieceTokenizer(str(words), **named)._tokenizer)
    if merges.is_file() and vocabulary.is_file() and kind == "GPT2Tokenizer":
        for key in ("add_bos_token", "add_eos_token"):
            settings.expect(key, False)
        both = str(vocabulary), str(merges)
        return _built(merges, lambda: ByteLevelBPETokenizer(*both)._tokenizer)
    raise ValueError(
        f"{folder}: no tokenizer: expected tokenizer.json; vocab.txt of a BertTokenizer; or "
        "vocab.json and merges.txt of a GPT2Tokenizer"
    )


def _built(file: Path, build: Any) -> Tokenizer:
    try:
        return build()
    except Exception as error:  # the library raises no specific class
        raise ValueError(f"{file}: not a tokenizer: {error}") from None


def _build_bert(tokenizer: Tokenizer, settings: Settings) -> None:
    """transformers keeps only the vocabulary of the file; these keys define the rest."""
    keys = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    lower, strip, chinese = map(settings.flag, keys, (True, None, True))
    tokenizer.normalizer = BertNormalizer(True, chinese, strip, lower)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    given, usual = _named(settings), SPECIAL["BertTokenizer"]
    ends = [str(given.get(key) or usual[key]) for key in ("sep_token", "cls_token")]
    found = [(end, number) for end in ends if (number := tokenizer.token_to_id(end)) is not None]
    if len(found) == len(ends):
        tokenizer.post_processor = BertProcessing(*found)


def _build_gpt2(tokenizer: Tokenizer, settings: Settings) -> None:
    """transformers keeps only the vocabulary and the merges of the file."""
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = ByteLevel(settings.flag("add_prefix_space", False))
    tokenizer.decoder = decoders.ByteLevel()
    if isinstance(tokenizer.model, BPE):
        tokenizer.model.dropout = None


def _build_llama(tokenizer: Tokenizer, settings: Settings) -> None:
    """As for GPT-2, except that a byte-level tokenizer.json stays unchanged."""
    if "ByteLevel" in repr(tokenizer.pre_tokenizer):
        return
    space, legacy = settings.flag("add_prefix_space", None), settings.flag("legacy", False)
    space = space is not False
    scheme = ("always" if legacy else "first") if space else "never"
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = Metaspace("▁", scheme, split=False)
    whole = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(whole + [decoders.Strip(" ", 1, 0)] * space)
    if isinstance(tokenizer.model, BPE):
        tokenizer.model.dropout = None


# Classes of transformers that replace all of tokenizer.json except the vocabulary (and merges).
BUILDERS = {
    "BertTokenizer": _build_bert,
    "GPT2Tokenizer": _build_gpt2,
    "LlamaTokenizer": _build_llama,
}


def _add_special(tokenizer: Tokenizer, kind: str, settings: Settings) -> str | None:
    """Add the special tokens, which are found before a text is split; returns the mask token."""
    named = _named(settings)
    for key, usual in SPECIAL.get(kind, {}).items():
        if key not in named and tokenizer.token_to_id(usual) is not None:
            named[key] = AddedToken(usual, special=True)
    tokens = [token for token in named.values() if token]
    for key in ("extra_special_tokens", "additional_special_tokens"):
        more = settings.take(key) or []
        if not isinstance(more, list | dict):
            raise settings.refusal(key, "expected a list of tokens")
        more = more.values() if isinstance(more, dict) else more
        tokens += [_added(settings, key, token) for token in more]
    numbered = settings.take("added_tokens_decoder") or {}
    if not isinstance(numbered, dict):
        raise settings.refusal("added_tokens_decoder", "expected an object of tokens")
    for number, token in numbered.items():
        tokens.append(_added(settings, "added_tokens_decoder", token))
        found = tokenizer.token_to_id(tokens[-1].content)
        if str(found) != number:
            right = f"{tokens[-1].content!r} is {number} here, but {found} in the vocabulary"
            raise ValueError(f"{settings.path}: added_tokens_decoder: {right}")
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    tokenizer.add_tokens([token for token in tokens if token.content not in known])
    mask = named.get("mask_token")
    return mask.content if mask else None


def _named(settings: Settings) -> dict[str, AddedToken | None]:
    """The special tokens by key (`mask_token`); None for one that is switched off."""
    given = {key: settings.take(key) for key in SPECIAL_KEYS if key in settings.values}
    return {
        key: None if token is None else _added(settings, key, token) for key, token in given.items()
    }


def _added(settings: Settings, key: str, token: Any) -> AddedToken:
    """A token from its name, or from an object with the fields FOUND_BY."""
    how = dict(token) if isinstance(token, dict) else {"content": token}
    how.pop("__type", None)
    content = how.pop("content", None)
    if not content or not isinstance(content, str) or not how.keys() <= FOUND_BY:
        raise settings.refusal(key, "expected a token")
    try:
        return AddedToken(content, **{"special": True} | how)
    except TypeError:
        raise settings.refusal(key, "expected a token") from None
