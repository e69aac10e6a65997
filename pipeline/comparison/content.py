"""The comparison as plain data: of `--json`, and of the page."""

from dataclasses import asdict
from typing import Any

from pipeline.comparison.comparing import SAME, Comparison, Row
from pipeline.comparison.experiments import Experiment
from pipeline.comparison.statistics import CONFIDENCE


def content(comparison: Comparison) -> dict[str, Any]:
    """All that the comparison found, as JSON."""
    return {
        "experiments": [_experiment(each) for each in comparison.experiments],
        "confidence": CONFIDENCE,
        "tested": comparison.tested,
        "rows": [_row(row, rows[0]) for rows in comparison.by_metric().values() for row in rows],
        "costs": {
            model: {name: asdict(cost) for name, cost in of_model.items()}
            for model, of_model in comparison.costs.items()
        },
        "differs": {
            "parameters": comparison.parameters,
            "data": comparison.data,
            "environments": comparison.environments,
            "code": comparison.code,
        },
    }


def _experiment(experiment: Experiment) -> dict[str, Any]:
    """Its name, commit and date, and the ids of its MLflow runs by model and seed."""
    return {
        "name": experiment.name,
        "commit": experiment.revision.commit,
        "finished": experiment.report.finished,
        "runs": {
            model: {
                training.seed: training.record["mlflow_run_id"]
                for training in result.trainings
                if training.record and training.record["mlflow_run_id"]
            }
            for model, result in experiment.models.items()
        },
    }


def _row(row: Row, first: Row) -> dict[str, Any]:
    """A row with what follows from it. difference: from the first experiment's mean, also where it
    may be luck."""
    return asdict(row) | {
        "metric": row.name,
        "mean": row.mean,
        "deviation": row.deviation,
        "difference": row.mean - first.mean if row.word not in ("", SAME) else None,
        "verdict": row.verdict,
    }
