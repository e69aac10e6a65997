"""Logs a finished training to MLflow: its end, its evaluation, its report.

It reads the outputs of the stages. So it can also log a training whose run MLflow does not have:
the model came from DVC's cache, or the run was deleted.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.curves import EVALUATIONS, STEPS, UNITS, read_csv
from pipeline.params import Params
from pipeline.paths import CONFIG, WEIGHTS, data_dir, model_dir, prediction_dir, read_json, sha256
from pipeline.running import records
from pipeline.tracking.rows import WEIGHTS_TAG, WORKSPACE
from pipeline.tracking.tracker import Tracker

SUMMARY = ("parameters", "flops", *UNITS, "epochs")  # keys of summary.json to log
BEST = "best_"  # prefix of the metric that determines the best evaluation
REPORTS = "reports"  # in the files of a run; has a folder for each row of `dvc exp show`


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, with one seed, and its files."""

    params: Params
    name: str
    seed: int

    @property
    def folder(self) -> Path:
        """The folder of the trained model."""
        return model_dir(self.name, self.seed)

    @property
    def record(self) -> dict[str, Any] | None:
        """The record of its training; None if another machine trained it."""
        return records.read("train", f"{self.name}-{self.seed}", self.folder / WEIGHTS)

    @property
    def weights(self) -> str:
        """The SHA-256 of the trained model."""
        return sha256(self.folder / WEIGHTS)

    @property
    def training_id(self) -> str:
        """Identifies its run; a part of `weights` if another machine trained it."""
        record = self.record
        return record["training_id"] if record else self.weights[:32]

    def tracker(self, stage: str) -> Tracker:
        """The run of the training, for a later stage."""
        which = (self.name, self.seed, self.training_id, self.weights)
        return Tracker(stage, self.params, *which)

    def log_training(self, tracker: Tracker) -> None:
        """Log the model and the metrics at the end of the training."""
        summary = read_json(self.folder / "summary.json")
        tracker.model(self.folder, data_dir(self.name))
        metrics = {key: summary[key] for key in SUMMARY if key in summary}
        best = {key: value for key, value in summary.items() if key.startswith(BEST)}
        tracker.metrics(metrics | best)
        # They end a curve: evaluations during training log them, too.
        closing = {key: value for key, value in summary.items() if key.startswith("closing_")}
        del closing["closing_steps"]
        tracker.metrics(closing, step=summary["steps"])
        tracker.tags({WEIGHTS_TAG: summary["weights_sha256"]})

    def log_evaluation(self, tracker: Tracker) -> None:
        """Log the metrics of the evaluation, and register the model with them; before that, the
        whole training if MLflow does not have it."""
        self._restore(tracker)
        summary = read_json(self.folder / "summary.json")
        predictions = prediction_dir(self.name, self.seed)
        metrics = read_json(predictions / "metrics.json")
        tracker.metrics(metrics, step=summary["steps"])
        tracker.files(predictions, "predictions")
        (best,) = (key for key in summary if key.startswith(BEST) and key != "best_step")
        metric = best.removeprefix(BEST)
        tracker.register(metric, metrics[metric], self._comparable(metric))

    def _restore(self, tracker: Tracker) -> None:
        if not tracker.created and (tracker.run_id or self.record):
            return
        tracker.data(read_json(data_dir(self.name) / "meta.json"))
        tracker.curves(read_csv(self.folder / STEPS), read_csv(self.folder / EVALUATIONS))
        self.log_training(tracker)
        tracker.tags({"restored": "from what DVC keeps"})

    def log_report(self, tracker: Tracker, report: Path, note: str) -> None:
        """Attach the report in the folder `report`; replaces an earlier one of the same row.

        note: Markdown above the link to the report, in the description of the run.
        """
        place = f"{REPORTS}/{os.environ.get('DVC_EXP_NAME', WORKSPACE)}"
        for file in ("metrics.md", "metrics.json"):
            tracker.files(report / file, place)
        tracker.files(report / "pictures", f"{place}/pictures")
        tracker.note(f"{note}\n\n[The report](<run>/artifacts/{place}/metrics.md)")

    def _comparable(self, metric: str) -> str:
        """A hash that is equal for models measured in the same way on the same data."""
        measures = read_json(prediction_dir(self.name, self.seed) / "measures.json")
        objective = self.params.section(self.name).objective.model_dump()
        depends = {
            "data": read_json(self.folder / CONFIG)["data"],
            "measure": measures.get(metric),
            "evaluation": {k: v for k, v in objective.items() if k.startswith("evaluation")},
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:12]
