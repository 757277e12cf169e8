"""The service: keys and release are checked, then uvicorn serves the API by its processes."""

import gc
import json
import logging
import os
import sys
import tempfile

from fastapi import FastAPI

from ..errors import Refusal
from ..store.database import decisions_url
from .keys import check_open, keys_from

SETTINGS = "ML_WORKFLOW_SERVE"
"""The variable that carries the arguments of `serve` to the worker processes."""


def serve(
    task: str, host: str, port: int, workers: int, explore: float, on_database_failure: str
) -> None:
    """Serve a task until told to end; refused where keys are missing or no release loads."""
    import uvicorn

    check_open(keys_from(os.environ.get("ML_WORKFLOW_KEYS", "")), host)
    if on_database_failure not in ("refuse", "serve"):
        raise Refusal(
            f"--on-database-failure is {on_database_failure!r}: "
            "give refuse, or serve to let the current process decide unwritten."
        )
    os.environ[SETTINGS] = json.dumps(
        {"task": task, "explore": explore, "serve_unwritten": on_database_failure == "serve"}
    )
    with tempfile.TemporaryDirectory() as figures:
        if workers > 1:  # read when prometheus_client is first imported
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures
        app = create_app()
        model = app.state.live.model
        print(
            f"Serving {task}, version {model.version} ({model.path}) on http://{host}:{port}; "
            "what it takes stands under /docs.",
            flush=True,
        )
        uvicorn.run(
            f"{__name__}:create_app" if workers > 1 else app,
            factory=workers > 1,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_level="warning",
            server_header=False,
        )


def create_app() -> FastAPI:
    """The API by the settings in the environment; each worker process makes its own."""
    from .app import application
    from .reload import Live

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("ml_workflow.serve").setLevel(logging.INFO)
    settings = json.loads(os.environ[SETTINGS])
    live = Live(settings.pop("task"), decisions_url())
    app = application(live, keys_from(os.environ.get("ML_WORKFLOW_KEYS", "")), **settings)
    app.state.live = live
    gc.collect()
    gc.freeze()  # what is loaded stays, so that no request waits until all of it was looked through
    return app
