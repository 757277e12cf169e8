"""The task file: its model, and what of it is answered."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "completeness": ["checklist"],
        "definition": ["Amount", "Source", "Target", "Task"],
        "file": ["as_task", "keep_task", "read_task", "task_of", "task_path", "write_task"],
    },
)
