"""Speed of generation with the KV cache, compared with recomputation and with transformers.

    ./run python -m benchmarks.generation

Writes generation.md. The model is a GPT-2 with 6 layers of width 384 and random weights; it
generates 256 tokens after a prompt of 16, in one row and greedily, so that all texts are equal.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import transformer
from pipeline.running import records
from transformer import Architecture
from transformer.generation import Sampling, generate
from transformer.weights import to_huggingface

VOCABULARY, PROMPT, NEW, CONTEXT = 30_522, 16, 256, 512
ARCHITECTURE = Architecture(n_layer=6, n_head=6, d_model=384, d_mlp=1536)
NAMES = {
    "cache": "ours, with the KV cache",
    "forward": "ours, a full forward pass for each token",
    "recompute": "ours, the same with logits of the last position only",
    "transformers": "transformers' `generate`, with its KV cache",
}


@torch.inference_mode()
def recompute(
    model: transformer.Transformer, prompt: list[int], count: int, scored: slice
) -> list[int]:
    """Greedy tokens, each from a forward pass over all tokens before it.

    scored: the positions with logits; only the last one is needed.
    """
    tokens = torch.tensor([prompt])
    for _ in range(count):
        logits = model.head(model.encode(tokens)[:, scored])
        tokens = torch.cat((tokens, logits[:, -1].argmax(-1, keepdim=True)), dim=1)
    return tokens[0, len(prompt) :].tolist()


def theirs(model: transformer.Transformer) -> Callable[[list[int], int], list[int]]:
    """Generation by transformers' `generate` with the same weights."""
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        to_huggingface(model, folder)
        reference = AutoModelForCausalLM.from_pretrained(folder).eval()

    def run(prompt: list[int], count: int) -> list[int]:
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        written = reference.generate(
            ids, attention_mask=mask, max_new_tokens=count, do_sample=False, pad_token_id=0
        )
        return written[0, len(prompt) :].tolist()

    return run


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="number of runs of each method")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = transformer.gpt(ARCHITECTURE, VOCABULARY, CONTEXT).eval()
    prompt = torch.randint(VOCABULARY, (PROMPT,)).tolist()
    ways = {
        "cache": lambda p, count: generate(model, [p], count, CONTEXT, Sampling(0))[0],
        "forward": lambda p, count: recompute(model, p, count, slice(None)),
        "recompute": lambda p, count: recompute(model, p, count, slice(-1, None)),
        "transformers": theirs(model),
    }
    for way in ways.values():
        way(prompt, 8)  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for pair in range(arguments.pairs):
        texts = []
        for name, way in ways.items():
            start = time.perf_counter()
            texts.append(way(prompt, NEW))
            seconds[name].append(time.perf_counter() - start)
        assert all(text == texts[0] for text in texts), "the methods generate different texts"
        latest = {name: round(values[-1], 2) for name, values in seconds.items()}
        print(pair + 1, latest, flush=True)
    text = report(seconds, arguments)
    Path(__file__).with_name("generation.md").write_text(text, "utf-8")
    print(text)


def report(seconds: dict[str, list[float]], arguments: argparse.Namespace) -> str:
    """The table: medians, and how many times as fast the cache is, for each pair."""
    rows = []
    for name, values in seconds.items():
        times = [value / own for value, own in zip(values, seconds["cache"], strict=True)]
        median = statistics.median(values)
        rows.append(
            f"| {NAMES[name]} | {median:.2f} s | {NEW / median:.0f} | "
            f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f}) |"
        )
    machine = records.machine()
    table = "\n".join(rows)
    return f"""# Generation

Written by `./run python -m benchmarks.generation --pairs {arguments.pairs}`: {NEW} new tokens
after {PROMPT}, one row, greedy, 6 layers of width 384, vocabulary {VOCABULARY:,}, float32. On
{arguments.threads} threads of {machine["cores"]} cores ({machine["cpu"]}), with torch
{torch.__version__} and its own kernels; load of the machine at the end: {os.getloadavg()[0]:.1f}.
All methods generate the same tokens.

| | median of {arguments.pairs} | tokens per second | time relative to the cache, in the same pair |
| --- | ---: | ---: | ---: |
{table}
"""


if __name__ == "__main__":
    main()
