"""The service: keys and release are checked, then uvicorn serves the API, by one process or several."""

import gc
import json
import logging
import os
import sys
import tempfile

from fastapi import FastAPI

from ..errors import Refusal
from ..store.database import address
from .keys import check_open, keys_from

SETTINGS = "ML_WORKFLOW_SERVE"
"""The variable that carries what was asked to the worker processes."""


def serve(
    task: str, host: str, port: int, workers: int, explore: float, on_database_failure: str
) -> None:
    """Serve a task until told to end; refused where keys are missing or no release loads."""
    import uvicorn

    check_open(keys_from(os.environ.get("ML_WORKFLOW_KEYS", "")), host)
    if on_database_failure not in ("refuse", "serve"):
        raise Refusal(
            f"--on-database-failure is {on_database_failure!r}: give refuse, or serve to let the current process decide unwritten."
        )
    os.environ[SETTINGS] = json.dumps(
        {"task": task, "explore": explore, "serve_unwritten": on_database_failure == "serve"}
    )
    with tempfile.TemporaryDirectory() as figures:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = (
                figures  # read when prometheus_client is first imported
            )
        app = made()
        model = app.state.live.model
        print(
            f"Serving {task}, version {model.version} ({model.path}) on http://{host}:{port}; what it takes stands under /docs.",
            flush=True,
        )
        address = f"{__name__}:made" if workers > 1 else app
        uvicorn.run(
            address,
            factory=workers > 1,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_level="warning",
            server_header=False,
        )


def made() -> FastAPI:
    """The API that the environment asks for; each worker process makes its own."""
    from .app import application
    from .reload import Live

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("ml_workflow.serve").setLevel(logging.INFO)
    settings = json.loads(os.environ[SETTINGS])
    live = Live(settings.pop("task"), address())
    app = application(live, keys_from(os.environ.get("ML_WORKFLOW_KEYS", "")), **settings)
    app.state.live = live
    gc.collect()
    gc.freeze()  # what is loaded stays: a request of many rows is not held up by looking through all of it again
    return app
