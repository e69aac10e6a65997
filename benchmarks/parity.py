"""Compares imported models with their originals in other libraries; writes parity.md.

./run python -m benchmarks.parity
"""

import importlib.metadata
from collections import defaultdict
from importlib import import_module
from pathlib import Path

from tests.transformer.weights.parity import errors

LIBRARIES = ("huggingface", "timm", "torchvision", "torch_nn")
PACKAGES = ("torch", "torchvision", "timm", "transformers")


def main() -> None:
    """Measure all cases of the tests; print and write the table."""
    rows = ["| family | source and variant | inputs | outputs | gradients |",
            "| --- | --- | --- | ---: | ---: |"]  # fmt: skip
    worst = defaultdict(float)
    for library in LIBRARIES:
        for case in import_module(f"tests.transformer.weights.{library}_cases").CASES:
            found = list(errors(case))
            outputs = max(each.outputs for each in found)
            gradients = [each.gradients for each in found if each.gradients is not None]
            worst["outputs"] = max(worst["outputs"], outputs)
            worst["gradients"] = max([worst["gradients"], *gradients])
            shapes = ", ".join(dict.fromkeys(each.shape.split(",")[0] for each in found))
            extras = dict.fromkeys(word for each in found for word in each.shape.split(", ")[1:])
            inputs = "; ".join([shapes, *([f"with {', '.join(extras)}"] if extras else [])])
            cells = [f"`{case.family}`", case.source, inputs, _short(outputs)]
            cells.append(_short(max(gradients)) if gradients else "")
            rows.append(f"| {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    text = f"""# Parity

Written by `./run python -m benchmarks.parity`, with {versions}.

Each row is a small model of another library with random weights, imported as a `Transformer`: each
tensor and each parameter is used exactly once. Both get the same inputs, in float32 and evaluation
mode. The table shows the relative difference of the outputs and of all gradients (norm of the
difference divided by the norm of the original, largest over the inputs). The limit is 1e-5; the
largest here are {worst["outputs"]:.1e} (outputs) and {worst["gradients"]:.1e} (gradients). The
tests in `tests/transformer/weights/` check the same cases.

"""
    path = Path(__file__).with_name("parity.md")
    path.write_text(text + "\n".join(rows) + "\n", "utf-8")
    print(f"written to {path}")


def _short(error: float) -> str:
    return f"{error:.1e}" if error else "0"


if __name__ == "__main__":
    main()
