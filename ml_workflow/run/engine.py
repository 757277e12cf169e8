"""Papermill's own engine, but for how often it writes the executed notebook: not before and after each cell."""

import time
from typing import Any

from papermill.engines import NBClientEngine, papermill_engines

NAME = "seldom"
SECONDS = 1.0
"""Between two writes of the notebook while it runs; it is written once more when it ends, however it ends."""


class Seldom(NBClientEngine):
    """Executes a notebook as papermill does."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Let the manager of the notebook save at most once in SECONDS."""
        save, last = nb_man.save, time.monotonic()

        def seldom(**words: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS:
                save(**words)
                last = time.monotonic()

        nb_man.save = seldom
        try:
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            del nb_man.save


papermill_engines.register(NAME, Seldom)
