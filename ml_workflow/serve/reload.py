"""What serves now: champion, challenger and the running experiment, looked up again and again; changes take place at once."""

import json
import logging
import threading
from collections.abc import Callable

import sqlalchemy as sa

from ..errors import Refusal
from ..model.registry import aliases
from ..store.committer import Committer
from ..store.database import connect, ready
from ..store.database import open as opened
from ..store.experiments import Experiment, running
from .model import Model, loaded

LOG = logging.getLogger("ml_workflow.serve")


class Live:
    """The models and the experiment of a task. A new version is loaded beside the old one and takes its place; no request waits for it."""

    def __init__(self, task: str, url: str) -> None:
        connect(url).dispose()  # refuses what is no address
        self.task, self.url = task, url
        self.champion: Model | None = None
        self.challenger: Model | None = None
        self.experiment: Experiment | None = None
        self.engine: sa.Engine | None = None
        self.committer: Committer | None = None
        self.fault = self.registry_fault = ""
        self._stop = threading.Event()
        self.registry_fault = self._told(self._take_versions(), "")
        self._look_up()

    @property
    def model(self) -> Model:
        """What /predict answers with: the champion, or while there is none the challenger."""
        found = self.champion or self.challenger
        assert found is not None
        return found

    def ready(self) -> str:
        """ "" when decisions can be made and written now, else why not."""
        return ready(self.engine) if self.engine else self.fault

    def follow(self) -> None:
        """Look up versions and experiment again and again, until `close`."""
        for look, seconds in ((self._look_up, 0.5), (self._look_up_versions, 1.0)):
            threading.Thread(target=self._follow, args=(look, seconds), daemon=True).start()

    def close(self) -> None:
        """Follow no longer; what waits is written."""
        self._stop.set()
        if self.committer:
            self.committer.close()

    def _follow(self, look: Callable[[], None], seconds: float) -> None:
        while not self._stop.wait(seconds):
            look()

    def _look_up(self) -> None:
        """The database, once it is there, and the experiment; the one known stays while the database does not answer."""
        said = ""
        try:
            if self.engine is None:
                self.engine = opened(self.url)
                self.committer = Committer(self.engine)
            self.experiment = running(self.engine, self.task)
        except Refusal as refusal:
            said = str(refusal)
        except Exception as error:  # a thread that ended would not hear of an experiment's end
            said = f"The experiment could not be looked up: {type(error).__name__}."
        self.fault = self._told(said, self.fault)

    def _look_up_versions(self) -> None:
        said = ""
        try:
            said = self._take_versions()
        except Refusal as refusal:
            said = str(refusal)
        except (
            Exception
        ) as error:  # a thread that ended would leave an old version serving for good
            said = f"The registry could not be looked up: {type(error).__name__}."
        self.registry_fault = self._told(said, self.registry_fault)

    def _take_versions(self) -> str:
        """Load champion and challenger; why a challenger beside the champion cannot be loaded, "" where all are."""
        found, made, said = aliases(self.task), dict[str, Model](), ""
        if not {"champion", "challenger"} & found.keys():
            raise Refusal(
                f"No version of {self.task!r} is champion or challenger: promote one by `ml-workflow promote {self.task} VERSION`."
            )
        known = {model.version: model for model in (self.champion, self.challenger) if model}
        for number in dict.fromkeys(
            found[alias] for alias in ("champion", "challenger") if alias in found
        ):
            try:
                made[number] = known.get(number) or loaded(self.task, number)
            except Refusal as refusal:
                if not made:  # nothing else serves
                    raise
                said = str(refusal)
        self.champion, self.challenger = (
            made.get(found.get(alias, "")) for alias in ("champion", "challenger")
        )
        return said

    def _told(self, said: str, before: str) -> str:
        if said and said != before:
            LOG.warning(json.dumps({"fault": said}))
        return said
