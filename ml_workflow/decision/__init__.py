"""What is decided, and what it is worth: kinds of target, values, processes, expressions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "amounts": ["money", "money_curve", "monthly", "period", "volume"],
        "expressions": ["evaluate"],
        "kinds": ["Kind", "kind_of"],
        "process": [
            "Process",
            "constant_process",
            "current_process",
            "recorded",
            "usual_action",
        ],
        "returns": ["NetValue", "net_value"],
    },
)
