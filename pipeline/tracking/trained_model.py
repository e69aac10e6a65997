"""What the outputs of the stages say to MLflow of a training: its end, its evaluation, its report.

It is read from the files that the stages leave. So it can be said of a training whose run MLflow
does not have as well: one that DVC's cache spared this machine, or whose run was deleted.
"""

import csv
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import records
from pipeline.params import Params
from pipeline.paths import CONFIG, WEIGHTS, data_dir, model_dir, prediction_dir, read_json
from pipeline.tracking.rows import WORKSPACE
from pipeline.tracking.tracker import Tracker

SUMMARY = ("parameters", "flops", "tokens", "images", "epochs")  # of what `train` sums up
BEST = "best_"  # begins the names of the figure that the best evaluation is chosen by
REPORTS = "reports"  # the folder of a run's files with a folder for each row of `dvc exp show`


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, with one seed, and what it left."""

    params: Params
    name: str
    seed: int

    @property
    def folder(self) -> Path:
        """The trained model."""
        return model_dir(self.name, self.seed)

    @property
    def figures(self) -> Path:
        """What `evaluate` found of it."""
        return prediction_dir(self.name, self.seed)

    @property
    def record(self) -> dict[str, Any] | None:
        """How it came about; None where this machine does not know."""
        return records.read("train", f"{self.name}-{self.seed}", self.folder / WEIGHTS)

    @property
    def weights(self) -> str:
        """The checksum of the trained model."""
        return records.sha256(self.folder / WEIGHTS)

    @property
    def training_id(self) -> str:
        """By which its run is found; made of the weights where they were trained elsewhere."""
        record = self.record
        return record["training_id"] if record else self.weights[:32]

    def tracker(self, stage: str) -> Tracker:
        """The run of the training, for a stage after it."""
        which = (self.name, self.seed, self.training_id, self.weights)
        return Tracker(stage, self.params, *which)

    def trained(self, tracker: Tracker) -> None:
        """Say how the training ended, and hand over the model."""
        summary = read_json(self.folder / "summary.json")
        tracker.model(self.folder, data_dir(self.name))
        figures = {key: summary[key] for key in SUMMARY if key in summary}
        closing = {k: v for k, v in summary.items() if k.startswith(("closing_", BEST))}
        closing.pop("closing_steps", None)
        tracker.metrics(figures | closing)
        tracker.tags({"weights_sha256": summary["weights_sha256"]})

    def evaluated(self, tracker: Tracker) -> None:
        """Say what the evaluation found, and register the model by it."""
        summary = read_json(self.folder / "summary.json")
        figures = read_json(self.figures / "figures.json")
        tracker.metrics(figures, step=summary["steps"])
        tracker.files(self.figures, "predictions")
        (best,) = (key for key in summary if key.startswith(BEST) and key != "best_step")
        figure = best.removeprefix(BEST)
        tracker.register(figure, figures[figure], self._comparable(figure))

    def restore(self, tracker: Tracker) -> bool:
        """Say all that the training said, if MLflow does not have it; whether that was so."""
        if not tracker.created and (tracker.run_id or self.record):
            return False
        tracker.data(read_json(data_dir(self.name) / "meta.json"))
        tracker.steps(_rows(self.folder / "history.csv"))
        tracker.evaluations(_rows(self.folder / "validation.csv"))
        self.trained(tracker)
        tracker.tags({"restored": "from what DVC keeps"})
        return True

    def reported(self, tracker: Tracker, report: Path, note: str) -> None:
        """Attach the report in the folder `report`, in place of an earlier one of the same row."""
        place = f"{REPORTS}/{os.environ.get('DVC_EXP_NAME', WORKSPACE)}"
        for file in ("metrics.md", "metrics.json"):
            tracker.files(report / file, place)
        tracker.files(report / "figures", f"{place}/figures")
        tracker.note(f"{note}\n\n[The report](<run>/artifacts/{place}/metrics.md)")

    def _comparable(self, figure: str) -> str:
        """Equal for models that are measured in the same way, on the same data."""
        measures = read_json(self.figures.parent / "measures.json")
        objective = self.params.section(self.name).objective.model_dump()
        depends = {
            "data": read_json(self.folder / CONFIG)["data"],
            "measure": measures.get(figure),
            "evaluation": {k: v for k, v in objective.items() if k.startswith("evaluation")},
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:12]


def _rows(file: Path) -> list[dict[str, float]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]
