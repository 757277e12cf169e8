"""JupyterLab as `make lab` opens it: saving a notebook of nbs/ writes its module."""

import ast
from pathlib import Path
from typing import Any

import nbformat
from nbdev.doclinks import nbdev_export

c = get_config()  # noqa: F821  # given by Jupyter, which runs this file

NOTEBOOKS = Path(__file__).parents[1] / "nbs"


def export(model: dict[str, Any], os_path: str, contents_manager: Any) -> None:
    """Export the notebook that was saved; one that is no Python yet leaves its module as it was."""
    path = Path(os_path).resolve()
    if model["type"] != "notebook" or path.parent != NOTEBOOKS:
        return
    try:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and cell.source.startswith("#| export"):
                ast.parse(cell.source)
        nbdev_export(path=path)
    except SyntaxError as error:
        line = (error.text or "").strip()
        contents_manager.log.warning(
            f"{path.name} is saved, but not exported: {error.msg} in {line!r}."
        )


c.FileContentsManager.post_save_hook = export
