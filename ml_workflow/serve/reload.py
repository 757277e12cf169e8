"""Hot reload: champion, challenger and the running experiment, looked up again and again."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from ..errors import Refusal
from ..model.registry import aliases
from ..store.batching import Batcher
from ..store.database import Unavailable, connect, open_decisions
from ..store.database import fault_of as database_fault
from ..store.decisions import Exposure, Request, write
from ..store.experiments import Experiment, current_experiment
from .model import Model, load_model

LOG = logging.getLogger("ml_workflow.serve")


def warn(fault: str) -> None:
    """Write a fault that no request tells into the log."""
    LOG.warning(json.dumps({"fault": fault}))


def logged(fault: str, before: str) -> str:
    """The fault, written into the log where there is one and it is new."""
    if fault and fault != before:
        warn(fault)
    return fault


class Live:
    """The models and the experiment of a task, as they are now.

    A new version is loaded beside the old one and takes its place; no request waits for it.
    `fault` and `registry_fault` say what is wrong with database and registry, "" if nothing.
    """

    def __init__(self, task: str, url: str) -> None:
        connect(url).dispose()  # refuses what is no address
        self.task, self.url = task, url
        self.champion: Model | None = None
        self.challenger: Model | None = None
        self.experiment: Experiment | None = None
        self.engine: sa.Engine | None = None
        self.writer = Batcher()
        self.fault = self.registry_fault = ""
        self._stop = threading.Event()
        self.registry_fault = logged(self._take_versions(), "")
        self.look_up_experiment()

    @property
    def model(self) -> Model:
        """What /predict answers with: the champion, or while there is none the challenger."""
        model = self.champion or self.challenger
        assert model is not None
        return model

    @property
    def database(self) -> sa.Engine:
        """The decisions database; raises Unavailable while it could not be opened."""
        if self.engine is None:
            raise Unavailable(self.fault)
        return self.engine

    def ready(self) -> str:
        """ "" when decisions can be made and written now, else why not."""
        return database_fault(self.engine) if self.engine else self.fault

    async def write(self, items: Sequence[Request | Exposure]) -> list[Any]:
        """What stands for these in the database, written with what others wrote meanwhile."""
        return await asyncio.wrap_future(self.writer(self._write, items))

    def _write(self, items: Sequence[Any]) -> list[Any]:
        return write(self.database, items)

    def follow(self) -> None:
        """Look up versions and experiment again and again, until `close`."""
        for look_up, seconds in ((self.look_up_experiment, 0.5), (self.look_up_versions, 1.0)):
            threading.Thread(target=self._repeat, args=(look_up, seconds), daemon=True).start()

    def close(self) -> None:
        """Follow no longer; what waits is written."""
        self._stop.set()
        self.writer.close()

    def _repeat(self, look_up: Callable[[], None], seconds: float) -> None:
        while not self._stop.wait(seconds):
            look_up()

    def look_up_experiment(self) -> None:
        """Take the experiment that runs; the one known stays while the database does not answer."""
        self.fault = looked_up(self._take_experiment, "experiment", self.fault)

    def look_up_versions(self) -> None:
        """Take champion and challenger; those known stay while the registry does not answer."""
        self.registry_fault = looked_up(self._take_versions, "registry", self.registry_fault)

    def _take_experiment(self) -> str:
        """Open the database once it is there, and read the experiment."""
        if self.engine is None:
            self.engine = open_decisions(self.url)
        self.experiment = current_experiment(self.engine, self.task)
        return ""

    def _take_versions(self) -> str:
        """Load champion and challenger; why a challenger beside the champion cannot be, or ""."""
        numbers, models, fault = aliases(self.task), dict[str, Model](), ""
        if not {"champion", "challenger"} & numbers.keys():
            raise Refusal(
                f"No version of {self.task!r} is champion or challenger: "
                f"promote one by `ml-workflow promote {self.task} VERSION`."
            )
        known = {model.version: model for model in (self.champion, self.challenger) if model}
        for alias in ("champion", "challenger"):
            number = numbers.get(alias)
            try:
                if number:
                    known[number] = known.get(number) or load_model(self.task, number)
                    models[alias] = known[number]
            except Refusal as refusal:
                if not models:  # nothing else serves
                    raise
                fault = str(refusal)
        self.champion, self.challenger = models.get("champion"), models.get("challenger")
        return fault


def looked_up(look_up: Callable[[], str], what: str, before: str) -> str:
    """What is wrong after a look-up, "" if nothing; a thread that ended would look up no more."""
    try:
        return logged(look_up(), before)
    except Refusal as refusal:
        return logged(str(refusal), before)
    except Exception as error:
        return logged(f"The {what} could not be looked up: {type(error).__name__}.", before)
