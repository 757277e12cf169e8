"""Programs beside this Python, and a browser that listens to what pages say and ask for."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import ROOT

Opened = Callable[..., Any]
WITHIN = ("file:", "data:", "blob:", "http://127.0.0.1:")


@cache
def tool(*words: str) -> str:
    """What a program beside this Python prints; it must end well."""
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run(
        [program, *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """Opens a place at a width; nothing may go wrong in it, and nobody outside be asked."""
    messages: list[str] = []
    addresses: list[str] = []
    contexts = []

    def open_page(place: Path | str, width: int = 1280, colours: str = "light") -> Any:
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=colours))
        page = contexts[-1].new_page()
        page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(place if isinstance(place, str) else place.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in messages if text.startswith(("error", "warning"))] == []
    assert [address for address in addresses if not address.startswith(WITHIN)] == []


def barriers(page: Any) -> list[str]:
    """What axe finds serious or critical, each with the first element it names."""
    # It would ask for imported sheets beside the page.
    violations = Axe().run(page, options={"preload": False}).response["violations"]
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in violations
        if fault["impact"] in ("serious", "critical")
    ]
