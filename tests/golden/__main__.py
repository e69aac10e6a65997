"""Updates the golden curves: ./run python -m tests.golden"""

import os
import tempfile
from pathlib import Path

from pipeline.stages.prepare import prepare
from tests import golden
from tests.conftest import MODELS

os.chdir(golden.ROOT)
print(golden.ADVICE)
params = golden.load()
with tempfile.TemporaryDirectory() as temporary:
    for name in MODELS:
        data = Path(temporary) / name
        prepare(params, name, data)
        made = golden.curve(params, name, data)
        known = (golden.FOLDER / f"{name}.csv").exists()
        changed = golden.difference(golden.read(name), made) if known else "new"
        # Keep a curve that differs only by rounding.
        if changed:
            golden.write(name, made)
        print(f"{name}: {changed or 'unchanged'}")
