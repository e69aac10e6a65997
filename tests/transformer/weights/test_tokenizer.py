"""The tokenizer of a folder gives the tokens of transformers, or is refused."""

import json

import pytest
from tokenizers import Tokenizer, processors
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import AutoTokenizer, BertConfig, GPT2Config, LlamaConfig, LlamaTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from transformer.weights.huggingface.tokenizer import read_tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cafe", "café", "the", "日", "本", "日本",
         "a", "##b", "The", "THE", "Café", "<mask>"]  # fmt: skip
TEXT = "The café [MASK] 日本 ab <mask>"


@pytest.fixture
def bert(tmp_path):
    """A folder with a vocab.txt."""
    BertConfig().save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path


@pytest.fixture
def gpt2(tmp_path):
    """A folder with a vocab.json of bytes, and merges.txt."""
    GPT2Config().save_pretrained(tmp_path)
    tokens = [*bytes_to_unicode().values(), "Ġa", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ a\n")
    return tmp_path


def whole(folder, **changed):
    """tokenizer.json instead of vocab.txt, with some changes."""
    tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=False)
    content = json.loads(tokenizer.to_str()) | changed
    (folder / "tokenizer.json").write_text(json.dumps(content))
    (folder / "vocab.txt").unlink()


def configure(folder, **settings):
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def agree(folder, text):
    """Assert that tokens and mask token are those of transformers."""
    tokenizer, mask = read_tokenizer(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    return tokenizer.encode(text).ids == theirs(text).input_ids and mask == theirs.mask_token


@pytest.mark.parametrize("form", ["vocab.txt", "tokenizer.json"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
        {"strip_accents": None, "model_max_length": 5, "padding_side": "left"},
        {"mask_token": "<mask>"},
        {"mask_token": None, "pad_token": None, "never_split": None},
        {"mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True}},
        {"additional_special_tokens": ["The"]},
        {"added_tokens_decoder": {"7": {"content": "the", "special": True}}},
    ],
    ids=str,
)
def test_keys_of_a_bert_are_honoured(bert, form, settings):
    if form == "tokenizer.json":
        whole(bert)
    configure(bert, tokenizer_class="BertTokenizer", **settings)
    assert agree(bert, TEXT)


def test_without_a_configuration_a_bert_is_lower_case(bert):
    assert agree(bert, TEXT)
    (bert / "special_tokens_map.json").write_text('{"mask_token": "<mask>"}')
    assert agree(bert, TEXT)


def test_one_text_is_neither_padded_nor_cut_off(bert):
    fixed = {"direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    fixed |= {"strategy": {"Fixed": 30}, "pad_to_multiple_of": None}
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    whole(bert, padding=fixed, truncation=cut)
    for kind in ("BertTokenizer", "PreTrainedTokenizerFast"):
        configure(bert, tokenizer_class=kind, mask_token="[MASK]")
        assert agree(bert, TEXT)


@pytest.mark.parametrize("settings", [{}, {"add_prefix_space": True}, {"bos_token": "<s>"}])
def test_a_gpt2_of_merges_is_theirs(gpt2, settings):
    if settings:
        configure(gpt2, **settings)
    assert agree(gpt2, "a a b\n<|endoftext|> é")


def test_the_prefix_space_of_a_tokenizer_json_is_theirs(gpt2):
    theirs = AutoTokenizer.from_pretrained(gpt2)
    theirs.backend_tokenizer.post_processor = processors.ByteLevel()
    theirs.save_pretrained(gpt2)
    for settings in ({}, {"add_prefix_space": True}, {"add_prefix_space": False}):
        configure(gpt2, tokenizer_class="GPT2Tokenizer", add_bos_token=False, **settings)
        assert agree(gpt2, "a a b")


@pytest.mark.parametrize("file", ["as saved", "of an older version"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"add_prefix_space": True},
        {"add_prefix_space": False},
        {"legacy": True},
        {"legacy": True, "add_bos_token": True},
    ],
    ids=str,
)
def test_a_llama_is_split_as_its_class_does_it(tmp_path, file, settings):
    """Its tokenizer.json, like that of Llama 2, matters only for the vocabulary."""
    LlamaConfig().save_pretrained(tmp_path)
    letters = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a"]
    tokens = {token: index for index, token in enumerate(letters)}
    LlamaTokenizer(vocab=tokens, merges=[("▁", "a")]).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    if file == "of an older version":
        parts = [{"type": "Prepend", "prepend": "▁"}]
        parts.append({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
        older = {"normalizer": {"type": "Sequence", "normalizers": parts}, "pre_tokenizer": None}
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | older))
    for text in ("a b ab</s>", " a", "a</s>b", "a</s> b", "b"):
        assert agree(tmp_path, text), text


@pytest.mark.parametrize(
    "changed",
    [
        {"post_processor": None},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": {"type": "Lowercase"}},
        {"decoder": None},
    ],
    ids=str,
)
def test_a_bert_is_split_and_framed_as_its_class_does_it(bert, changed):
    whole(bert, **changed)
    assert agree(bert, TEXT)


def test_a_gpt2_is_split_as_its_class_does_it(gpt2):
    AutoTokenizer.from_pretrained(gpt2).save_pretrained(gpt2)
    path = gpt2 / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = {"type": "Lowercase"}
    content["pre_tokenizer"]["use_regex"] = False
    content["model"]["dropout"] = 1.0
    path.write_text(json.dumps(content))
    assert agree(gpt2, "a a B")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_basic_tokenize": False}, "do_basic_tokenize: False: not supported; expected True"),
        ({"never_split": ["the"]}, "never_split: ['the']: not supported"),
        ({"do_lower_case": "yes"}, "do_lower_case: 'yes': expected true or false"),
        ({"word_tokenizer_type": "mecab"}, "unknown keys, which might change the input: word_tok"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "BertJapaneseTokenizer is not supported"),
        ({"mask_token": 5}, "mask_token: 5: expected a token"),
        ({"mask_token": ""}, "mask_token: '': expected a token"),
        ({"mask_token": {"content": "x", "found": 1}}, "expected a token"),
        ({"extra_special_tokens": "the"}, "extra_special_tokens: 'the': expected a list"),
        ({"added_tokens_decoder": [5]}, "added_tokens_decoder: [5]: expected an object"),
        ({"added_tokens_decoder": {"3": {"content": "the"}}}, "'the' is 3 here, but 7 in the"),
        ({"cls_token": "[BEGIN]"}, "vocab.txt: not a tokenizer: "),
    ],
)
def test_what_would_change_the_tokens_is_refused_by_name(bert, settings, message):
    configure(bert, **settings)
    with pytest.raises(ValueError) as caught:
        read_tokenizer(bert)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "tokenizer.json: not a tokenizer: Model missing"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json: expected a JSON object"),
        ("tokenizer_config.json", "{", "tokenizer_config.json: not JSON"),
        ("added_tokens.json", "{}", "only supported as part of a tokenizer.json"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(bert, name, content, message):
    (bert / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_tokenizer(bert)


def test_a_tokenizer_json_says_for_itself_what_its_class_does_not(bert):
    whole(bert, normalizer={"type": "Lowercase"})
    # Keys of other classes change nothing, in transformers and here.
    for settings in ({}, {"do_lower_case": False}, {"add_prefix_space": True}):
        known = {"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": "[MASK]"}
        configure(bert, **known, **settings)
        assert agree(bert, TEXT)
    ours = Tokenizer.from_file(str(bert / "tokenizer.json"))
    assert ours.encode("The", add_special_tokens=False).tokens == ["the"]
