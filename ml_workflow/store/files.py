"""Reading and writing files: where they are, atomic writes, and a record of what was read."""

import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import Refusal

provenance: dict[str, str] = {}
"""What this process has read: path (from the root where it lies within) to SHA-256."""


def root() -> Path:
    """The nearest folder, from the working directory up, that holds settings.ini."""
    here = Path.cwd()
    for folder in [here, *here.parents]:
        if (folder / "settings.ini").is_file():
            return folder
    raise Refusal(
        f"No settings.ini in {here} or above it: go to the folder of your project and try again."
    )


def package() -> str:
    """The name of the project's own package, by `lib_path` in its settings.ini."""
    settings = ConfigParser(delimiters=["="])
    settings.read(root() / "settings.ini", encoding="utf-8")
    return settings["DEFAULT"].get("lib_path", "ml_workflow")


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names."""
    if path.is_dir():
        parts = [
            f"{p.relative_to(path)}:{digest(p)}" for p in sorted(path.rglob("*")) if p.is_file()
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def name_of(path: Path) -> str:
    """The path from the root when it lies within, else as it is."""
    absolute = path.absolute()
    return str(absolute.relative_to(root()) if absolute.is_relative_to(root()) else absolute)


def track(path: Path) -> Path:
    """The path, once the provenance of what this process makes holds it with its content."""
    provenance[name_of(path)] = digest(path)
    return path


def write_atomically(path: Path, write: Callable[[Path], Any]) -> Path:
    """Let `write` fill a temporary file beside `path`, sync and rename it: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write text, whole or not at all."""
    return write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> Path:
    """Write JSON, readable by people, whole or not at all; what JSON has no word for as text."""
    text = json.dumps(content, indent=1, ensure_ascii=False, default=_plain)
    return write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file, which is tracked."""
    return json.loads(track(path).read_text(encoding="utf-8"))


def write_frame(path: Path, frame: pd.DataFrame) -> Path:
    """Write a frame as Parquet, whole or not at all."""
    return write_atomically(path, lambda p: frame.to_parquet(p, index=False))


def read_frame(path: Path) -> pd.DataFrame:
    """The frame in a Parquet file, which is tracked."""
    return pd.read_parquet(track(path))


def modules() -> dict[str, str]:
    """The modules of the library and of the project's package that this process has imported.

    By path, from the root where it lies within, the SHA-256 of the file.
    """
    ours = {"ml_workflow", package()}
    imported = [module for name, module in sys.modules.items() if name.partition(".")[0] in ours]
    files = (getattr(module, "__file__", None) for module in imported)
    paths = [Path(file) for file in files if file]
    return {name_of(path): digest(path) for path in sorted(paths)}


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
