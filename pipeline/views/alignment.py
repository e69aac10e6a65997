"""Cross-attention as an alignment of letters and sounds, and its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pipeline.tasks.dictionary import END
from transformer.attention import CrossAttention

if TYPE_CHECKING:  # evaluations do not need it
    from matplotlib.figure import Figure


def alignment(model: Any, letters: Tensor, sounds: Tensor) -> Tensor:
    """How much each sound looks at each letter: the weights of cross-attention, as means over
    layers and heads.

    letters: (S,) with the end. sounds: (T,) with the end. Returns (T, S); rows sum to 1.
    """
    weights: list[Tensor] = []

    def record(attention: CrossAttention, arguments: tuple[Any, ...]) -> None:
        x, shared, *_ = arguments
        q, (k, _) = attention.queries(x), attention.keys_and_values(shared.memory)
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)  # (1, n_head, S, d_head)
        scale = attention.scale or q.shape[-1] ** -0.5
        scores = q @ k.mT * scale  # (1, n_head, T, S)
        weights.append(scores.softmax(-1).mean(1)[0])

    inputs = torch.cat((sounds.new_full((1,), END), sounds[:-1]))
    hooks = [block.cross_attention.register_forward_pre_hook(record) for block in model.blocks]
    try:
        with torch.inference_mode():
            model.encode(inputs[None], source=letters[None])
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(weights).mean(0)


def draw(figure: Figure, aligned: list[dict[str, Any]], title: str) -> None:
    """Draw the alignments of some words, letters by sounds.

    aligned: see `GraphemeToPhonemeView.samples`.
    """
    columns = 2
    rows = -(-len(aligned) // columns)
    figure.set_size_inches(8, 3.2 * rows + 0.3)
    figure.set_layout_engine("constrained")
    figure.suptitle(f"{title}: cross-attention", fontsize=10, x=0.01, ha="left")
    cells = figure.subplots(rows, columns, squeeze=False).flat
    for axes in cells:
        axes.axis("off")
    for axes, each in zip(figure.axes, aligned, strict=False):
        axes.axis("on")
        axes.grid(visible=False)
        weights = np.array(each["weights"])  # (sounds, letters), with the ends
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for axis, names in ((axes.xaxis, each["word"]), (axes.yaxis, each["said"])):
            axis.set_ticks(range(len(names) + 1), [*names, "end"], fontsize=7.5, parse_math=False)
        axes.set(xlabel="letter", ylabel="sound")
