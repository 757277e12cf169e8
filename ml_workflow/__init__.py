"""ml-workflow: from a question to an A/B-tested model, in six notebooks."""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["data", "decision", "experiments", "model", "report"],
    submod_attrs={"store": ["open_run"], "task": ["Task"]},
)
