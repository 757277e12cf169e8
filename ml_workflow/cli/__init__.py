"""The command line: thin, each command one call, every refusal one sentence."""

import os
import sys

import typer

from . import experiment, operate, project, releases, runs

app = typer.Typer(
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
    from ..errors import Refusal

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault(
        "GOMP_SPINCOUNT", "10000"
    )  # waiting threads spin briefly, then leave the core to others
    try:
        app()
    except Refusal as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 130:  # typer's word for Ctrl-C
            raise
        print(
            "Stopped; what was finished is kept, and the same command goes on from there.",
            file=sys.stderr,
        )
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ != "Fault" and os.environ.get("ML_WORKFLOW_DEBUG"):
            raise
        print(
            f"{error if type(error).__name__ == 'Fault' else f'A fault of ours: {type(error).__name__}: {str(error).partition(chr(10))[0]}'}",
            file=sys.stderr,
        )
        sys.exit(1)
