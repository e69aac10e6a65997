"""The profile `reference`, trained at full budget, beside the reference's own logs.

After `dvc exp run -S +profile=reference`, or its stages prepare, train and evaluate:

    ./run python -m benchmarks.reference_run collect [model ...]
    ./run python -m benchmarks.reference_run page

`collect` runs where the models were trained, because it evaluates them once more; it writes
reports/reference-run/<model>.csv and .json, and overwrites only the files of its models. `page`
needs only these files; it writes README.md and pictures beside them.
"""

from pipeline.paths import REPORTS
from pipeline.training import numerics

numerics.choose("portable")  # before anything imports torch
FOLDER = REPORTS / "reference-run"
MODELS = ("bert", "gpt", "vit")
TITLES = {"bert": "BERT", "gpt": "GPT", "vit": "ViT"}
