"""python -m ml_workflow.cli, by whichever Python it is."""

from . import main

if __name__ == "__main__":
    main()
