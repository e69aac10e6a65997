"""Opens the MLflow UI for the project's database, or prints the link to a server's UI."""

import os
import warnings
from typing import Any

from pipeline.errors import UserError, print_error
from pipeline.tracking import rows, store, views

HINT = "If its menu is about agents, choose 'Model training' at the top left."
# Settings of MLflow's pages in the browser: the menu for model training instead of agents, and no
# chat with an assistant, which is not set up.
START = """<!doctype html>
<title>MLflow</title>
<script>
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
location.replace("%s");
</script>
"""


def open_ui(port: int, row: str | None) -> None:
    """Print the link to the runs, and serve it on 127.0.0.1 until interrupted. If the runs are on a
    server, only print the link to its UI.

    port: to serve on. row: a row of `dvc exp show`, to show only its runs; None shows all.

    Raises:
        UserError: MLflow cannot be reached, or the row has no runs.
    """
    page = _page(row)
    if server := store.server():
        print(f"MLflow: {server}/{page}\n{HINT}")
    else:
        print(f"MLflow: http://127.0.0.1:{port}/start (Ctrl-C stops it)", flush=True)
        _serve(port, page)


def _page(row: str | None) -> str:
    """Update tags and views of the runs; returns the relative link to them."""
    import mlflow

    try:
        experiment = store.experiment_id()
        client = mlflow.MlflowClient()
        found = rows.runs_of(client, experiment, row) if row else []
    except UserError:
        raise
    except Exception as error:
        raise UserError(store.failure(error)) from None
    try:
        rows.note_experiments(client, experiment)
        view = views.update(client, experiment, row or "", found)
    except Exception as error:  # for example on a read-only server
        print_error(f"no view of the runs: {store.failure(error)}", label="warning")
        view = None
    return views.page(experiment, view)


def _serve(port: int, page: str) -> None:
    """Run MLflow's server in this process, with an additional page /start that leads to `page`."""
    # The job runner would start a dozen processes, which this UI does not need.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    from mlflow.server import constants

    # Not as an argument: every user of the machine can read it, and it may have a password.
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store.uri()
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = store.artifacts().as_uri()
    import uvicorn
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for MLflow's developers
        from mlflow.server.fastapi_app import app

    async def start(_: Any) -> HTMLResponse:
        return HTMLResponse(START % f"/{page}")

    app.router.routes.insert(0, Route("/start", start))  # before those that match all paths
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
