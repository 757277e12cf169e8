"""The service: keys and release are checked, then uvicorn serves the API, by one process or several."""

import logging
import os
import sys
import tempfile

from fastapi import FastAPI

from .keys import check_open, keys_from

TASK = "ML_WORKFLOW_SERVE_TASK"


def serve(task: str, host: str, port: int, workers: int) -> None:
    """Serve the champion of a task until told to end; refused where keys are missing or the release does not load."""
    import uvicorn

    check_open(keys_from(os.environ.get("ML_WORKFLOW_KEYS", "")), host)
    os.environ[TASK] = task
    with tempfile.TemporaryDirectory() as figures:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures  # read when prometheus_client is first imported
        app = made()
        print(f"Serving {task}, version {app.state.champion.model.version} ({app.state.champion.model.path}) on http://{host}:{port}; what it takes stands under /docs.", flush=True)
        address = f"{__name__}:made" if workers > 1 else app
        uvicorn.run(address, factory=workers > 1, host=host, port=port, workers=workers, access_log=False, log_level="warning", server_header=False)


def made() -> FastAPI:
    """The API of the task that the environment names; each worker process makes its own."""
    from .app import application
    from .model import Champion

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("ml_workflow.serve").setLevel(logging.INFO)
    champion = Champion(os.environ[TASK])
    app = application(champion, keys_from(os.environ.get("ML_WORKFLOW_KEYS", "")))
    app.state.champion = champion
    return app
