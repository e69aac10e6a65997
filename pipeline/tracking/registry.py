"""MLflow's registry of models: a version for each training, with names for two of them.

`models:/transformer-benchmark-gpt@best` is the model of the best figure, and `...@newest` the last
one that was trained.
"""

import json
from typing import Any

from pipeline.tracking import store

NEWEST, BEST = "newest", "best"  # MLflow keeps the name 'latest' for itself


def registered_name(model: str) -> str:
    """The name of the registered model; the registry of a server holds those of other projects."""
    return f"{store.EXPERIMENT}-{model}"


def register(
    client: Any, run: Any, model: str, figure: str, value: float, comparable: str
) -> None:
    """Register the model of a run, unless it is, and name the newest and the best one.

    figure, value: the lower, the better. comparable: equal for those that the best one is chosen
    among, which are of the same data and measured in the same way.
    """
    from mlflow.exceptions import MlflowException

    name = registered_name(model)
    versions = client.search_model_versions(f"name = '{name}'")
    if any(version.run_id == run.info.run_id for version in versions):
        return
    (logged,) = run.outputs.model_outputs
    if not versions:
        try:
            client.create_registered_model(name, description=_description(model, figure))
        except MlflowException as error:  # another stage was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    tags = {"comparable": comparable, figure: repr(float(value))}
    version = client.create_model_version(
        name,
        f"models:/{logged.model_id}",
        run.info.run_id,
        tags=tags,
        description=run.info.run_name,
        model_id=logged.model_id,
    )
    # By which MLflow's pages lead from the model of a run to its version.
    link = json.dumps([{"name": name, "version": version.version}])
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": link})
    client.set_registered_model_alias(name, NEWEST, version.version)
    alike = [each for each in versions if each.tags.get("comparable") == comparable]
    best = min([version, *alike], key=lambda each: float(each.tags[figure]))
    client.set_registered_model_alias(name, BEST, best.version)


def _description(model: str, figure: str) -> str:
    return (
        f"{model} as this benchmark trains it, a version for each training. `{NEWEST}` is the last "
        f"one trained; `{BEST}` has the lowest `{model}.{figure}` among those that are measured "
        "like it, on the same data."
    )
