"""Sphinx: the frame around the last run's notebooks. `make site` builds it; nothing is executed."""

import logging
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import from_run  # noqa: E402

# It tells of its plugins where a style of pygments turns logging on.
logging.getLogger("alembic").setLevel(logging.WARNING)

settings = ConfigParser(delimiters=["="])
settings.read(HERE.parent / "settings.ini", encoding="utf-8")
project, author, copyright = (settings["DEFAULT"][key] for key in ("title", "author", "copyright"))

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "generated/rooms.md", "generated/howto.md"]
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
default_role = "code"
smartquotes = False
highlight_language = "none"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
pygments_style = "a11y-high-contrast-light"
add_module_names = False
html_context = {"default_mode": "auto"}
html_theme = "pydata_sphinx_theme"
html_title = project
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["site.css"]
html_show_sourcelink = html_copy_source = html_show_sphinx = False
html_sidebars = {"index": []}
html_theme_options = {
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
}


def mathml(display: str) -> tuple[Callable[[Any, nodes.Element], None], None]:
    """What writes a formula as MathML, which browsers draw by themselves."""

    def visit(writer: Any, node: nodes.Element) -> None:
        formula = convert(node.astext(), display=display)
        writer.body.append(
            f'<div class="formula" tabindex="0">{formula}</div>' if display == "block" else formula
        )
        raise nodes.SkipNode

    return visit, None


def code_stands_open(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """The guide's code can be folded, and is open at first."""
    if "body" in context:
        context["body"] = context["body"].replace(
            '<details class="admonition hide above-input">',
            '<details open class="admonition hide above-input">',
        )


def as_text(app: Sphinx, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with code in backticks: nothing else in them is markup."""
    lines[:] = [from_run.plain(line) for line in lines]


def setup(app: Sphinx) -> None:
    """Write the pages that follow from the run and from the package, then let Sphinx read them."""
    from_run.write(HERE.parent, HERE / "generated")
    app.add_html_math_renderer("mathml", mathml("inline"), mathml("block"))
    app.connect("html-page-context", code_stands_open)
    app.connect("autodoc-process-docstring", as_text)
