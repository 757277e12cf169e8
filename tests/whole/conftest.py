"""A real browser that listens: what pages say on the console, ask of the network, and keep from those who do not see."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

Opened = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """Opens a file or an address at a width, light or dark; in the end nothing went wrong in it and nobody outside was asked."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_page(place: Path | str, width: int = 1280, colours: str = "light") -> Any:
        contexts.append(
            browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
        )
        page = contexts[-1].new_page()
        page.on(
            "console",
            lambda message: (
                said.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(place if isinstance(place, str) else place.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [
        url for url in asked if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:"))
    ] == []


def barriers(page: Any) -> list[str]:
    """What axe finds serious or critical, each with the first element it names."""
    found = (
        Axe().run(page, options={"preload": False}).response["violations"]
    )  # it would ask for imported sheets beside the page
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:200]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
