"""README.md of an exported model: what it is, and how to use it in Hugging Face transformers."""

import json

from safetensors.numpy import load_file

from pipeline.inference.loading import ImageModel, TextModel
from pipeline.paths import data_dir, read_json
from pipeline.prompts import decode

WORDS = 6  # in the example
FILL_MASK = """
from transformers import pipeline

fill_mask = pipeline("fill-mask", model=".")  # the folder of this file
for guess in fill_mask({text}, top_k=3):
    print(f"{{guess['score']:.1%}}  {{guess['token_str']}}")
"""
GENERATE = """
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # of this file
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
prompt = tokenizer({text}, return_tensors="pt")
tokens = model.generate(**prompt, max_length={context}, do_sample=True, temperature=0.8)
print(tokenizer.decode(tokens[0]))
"""
CLASSIFY = """
from PIL import Image
from transformers import pipeline

classify = pipeline("image-classification", model=".")  # the folder of this file
image = Image.new("RGB", ({width}, {height}), "white")  # or Image.open("photo.jpg")
for guess in classify(image, top_k=3):
    print(f"{{guess['score']:.1%}}  {{guess['label']}}")
"""
NO_TOKEN_TYPES = """
## Training it further

The model has no token types. transformers gives every BERT at least one. Its vector is zero here
and changes no output. Exclude it from training:

```python
from transformers import AutoModelForMaskedLM

model = AutoModelForMaskedLM.from_pretrained(".")
model.bert.embeddings.token_type_embeddings.requires_grad_(False)
```
"""
GREY_AS_COLOUR = """
The model was trained on grey images. This export takes RGB images, as transformers' pipelines
pass them, and converts them to grey inside the patch projection. Further training changes the
three colours independently.
"""


def of_masked_lm(name: str, text: TextModel, written: str) -> str:
    """README.md of the masked language model `name`; written: its class in transformers."""
    ids = _example(name, text.context)
    assert text.mask is not None
    (ids[len(ids) // 2],) = text.encode(text.mask).ids
    masked = text.tokenizer.decode(ids, skip_special_tokens=False)
    reads = f"It predicts masked words in texts of up to {text.context} tokens."
    notes = NO_TOKEN_TYPES if text.model.embedding.token_types is None else ""
    return _page(name, "fill-mask", written, reads, FILL_MASK.format(text=_quoted(masked)), notes)


def of_causal_lm(name: str, text: TextModel, written: str) -> str:
    """README.md of the language model `name`; written: its class in transformers."""
    prompt = decode(text.tokenizer, _example(name, text.context))
    reads = f"It continues a text and sees at most {text.context} tokens."
    sample = GENERATE.format(text=_quoted(prompt), context=text.context)
    return _page(name, "text-generation", written, reads, sample)


def of_classifier(name: str, images: ImageModel, written: str, grey: bool) -> str:
    """README.md of the classifier `name`; written: its class in transformers;
    grey: whether it was trained on grey images."""
    height, width = images.preparation.size
    count = len(images.classes)
    reads = f"It distinguishes {count} classes, in images resized to {height} x {width} pixels."
    sample = CLASSIFY.format(height=height, width=width)
    notes = GREY_AS_COLOUR if grey else ""
    return _page(name, "image-classification", written, reads, sample, notes)


def _page(name: str, task: str, written: str, reads: str, sample: str, notes: str = "") -> str:
    """The page; its first lines are metadata for the Hugging Face Hub."""
    meta = read_json(data_dir(name) / "meta.json")
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: {task}\n---\n\n"
        f"# {written}\n\n"
        f"A model of Hugging Face transformers, trained on {meta['title']}.\n"
        f"Licence of the data: {meta['licence']}.\n\n{reads}\n\n"
        f"```python{sample}```\n{notes}"
    )


def _quoted(text: str) -> str:
    """As a Python string literal."""
    return json.dumps(text, ensure_ascii=False)


def _example(name: str, context: int) -> list[int]:
    """The first tokens of the held-out part; of the training part if nothing is held out."""
    tokens = load_file(data_dir(name) / "tokens.safetensors")
    held_out = tokens["validation"] if len(tokens["validation"]) else tokens["train"]
    return held_out[: min(WORDS, context)].tolist()
