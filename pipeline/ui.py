"""The MLflow UI: of the project's own database on this machine, or that of a server."""

import os
import re
import socket
import sys
import warnings
from typing import Any

from pipeline.errors import UserError
from pipeline.tracking import rows, store, views
from pipeline.tracking.secrets import USER

HINT = "If its menu is about agents, choose 'Model training' at the top left."
# What MLflow's pages keep in the browser: their menu is that of model training, not of agents, and
# a chat with an assistant that nobody has set up does not open by itself.
START = """<!doctype html>
<title>MLflow</title>
<script>
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
location.replace("%s");
</script>
"""


def open_ui(port: int, row: str | None) -> None:
    """Print the link to the runs. Serve it on 127.0.0.1 until interrupted, unless the runs are on a
    server, which has a UI.

    port: to serve on. row: of `dvc exp show`, to open its runs alone.

    Raises:
        UserError: the port is taken, MLflow cannot be reached, or the row has no runs.
    """
    server = _server()
    if server is None:
        _require_free(port)
    page = _page(row)
    if server:
        print(f"MLflow: {server.rstrip('/')}/{page}\n{HINT}")
    else:
        print(f"MLflow: http://127.0.0.1:{port}/start (Ctrl-C ends it)", flush=True)
        _serve(port, page)


def _page(row: str | None) -> str:
    """The page of the runs, as a relative link; what it shows is brought up to date."""
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
    except Exception as error:  # as on a server where one may read and not write
        print(f"warning: no view of the runs is set up: {store.failure(error)}", file=sys.stderr)
        view = None
    return views.page(experiment, view)


def _server() -> str | None:
    """The address of the server that has the runs, without a password; None if there is none."""
    found = re.match(r"https?://.+", store.uri())
    return found and USER.sub("", found[0])


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port} is not free ({error.strerror}); try --port") from None


def _serve(port: int, page: str) -> None:
    """MLflow's server in this process, with one page more: /start, which leads to `page`."""
    # The job runner would start a dozen processes that this UI does not need.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    from mlflow.server import constants

    # Not as an argument, which every user of the machine may read: it may hold a password.
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store.uri()
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = store.artifacts().as_uri()
    import uvicorn
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to MLflow's authors
        from mlflow.server.fastapi_app import app

    async def start(_: Any) -> HTMLResponse:
        return HTMLResponse(START % f"/{page}")

    app.router.routes.insert(0, Route("/start", start))  # before MLflow's, which take all paths
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
