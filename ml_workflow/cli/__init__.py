"""The command line: thin, each command one call, every refusal one sentence."""

import os
import sys

from typer import Typer

from ..errors import Fault, Refusal
from . import experiment, operate, project, releases, runs

app = Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="From a question to an A/B-tested model, in six notebooks.",
)
for part in (runs, project, releases, operate):  # in the order that --help lists their commands
    app.add_typer(part.app)
app.add_typer(experiment.app, name="experiment")


def main() -> None:
    """Run the command line; exit status 2 for what was given wrong, 1 for a fault of ours."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # waiting threads spin briefly, then leave the core to others
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        app()
    except (Refusal, Fault) as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, Refusal) else 1)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 130:  # typer's word for Ctrl-C
            raise
        print(
            "Stopped; what was finished is kept, and the same command goes on from there.",
            file=sys.stderr,
        )
        sys.exit(130)
    except Exception as error:
        if os.environ.get("ML_WORKFLOW_DEBUG"):
            raise
        line = str(error).partition("\n")[0]
        print(f"A fault of ours: {type(error).__name__}: {line}", file=sys.stderr)
        sys.exit(1)
