"""Registers models in MLflow: one version for each training, and two aliases.

`models:/transformer-benchmark-gpt@best` has the lowest loss, `...@newest` is the last one trained.
"""

import json
from typing import Any

from pipeline.tracking import store

NEWEST, BEST = "newest", "best"  # MLflow reserves the name 'latest'


def registered_name(model: str) -> str:
    """The name of the registered model, with a prefix: other projects may use the same server."""
    return f"{store.EXPERIMENT}-{model}"


def register(client: Any, run: Any, model: str, metric: str, value: float, comparable: str) -> None:
    """Register the model of a run if it is not registered yet, and set the two aliases.

    metric, value: name and value of the metric; lower is better.
    comparable: equal for models measured in the same way on the same data; the best is chosen
        among these.
    """
    from mlflow.exceptions import MlflowException

    name = registered_name(model)
    query = f"name = '{name}'"
    versions = client.search_model_versions(query)
    if not any(version.run_id == run.info.run_id for version in versions):
        if not versions:
            try:
                client.create_registered_model(name, description=_description(model, metric))
            except MlflowException as error:  # another training has created it
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        (logged,) = run.outputs.model_outputs
        version = client.create_model_version(
            name,
            f"models:/{logged.model_id}",
            run.info.run_id,
            tags={"comparable": comparable, metric: repr(float(value))},
            description=run.info.run_name,
            model_id=logged.model_id,
        )
        # MLflow's pages use this tag to link the model of a run to its version.
        link = json.dumps([{"name": name, "version": version.version}])
        client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
        versions = client.search_model_versions(query)  # others may have been registered as well
    # Also for a version that exists: whoever registered it may have lost the connection here.
    measured = [each for each in versions if "comparable" in each.tags]
    newest = max(measured, key=lambda each: int(each.version))
    client.set_registered_model_alias(name, NEWEST, newest.version)
    alike = [each for each in measured if each.tags["comparable"] == newest.tags["comparable"]]
    best = min(alike, key=lambda each: float(each.tags[metric]))
    client.set_registered_model_alias(name, BEST, best.version)


def _description(model: str, metric: str) -> str:
    return (
        f"{model} of this benchmark, one version for each training. `{NEWEST}` is the last one "
        f"trained; `{BEST}` has the lowest `{model}.{metric}` among those measured in the same way "
        "on the same data."
    )
