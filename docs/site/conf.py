"""The documents as a site, by Sphinx: `make docs`.

Every document stays where it is in the source tree, so links between them work there and here. The navigation is made
of the lists of docs/README.md. Nothing is loaded from elsewhere, and the search works from the files alone.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
INDEX = "docs/README"

project = "channel-emu"
version = release = re.search(r"^version = (.+)$", (ROOT / "setup.cfg").read_text("utf-8"), re.MULTILINE)[1]  # type: ignore[index]
copyright = ""
html_show_copyright = html_show_sphinx = html_show_sourcelink = html_copy_source = False

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGES.md", "docs/**.md"]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "node_modules",
    "appengine_channel_emu",
    "tests",
    "bench",
    "js",
    "sample_app",
]
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]
suppress_warnings = ["myst.header"]  # the README of a repository may skip a level
highlight_language = "text"
nitpicky = True
smartquotes = False  # a flag begins with two dashes

html_use_index = False
html_theme = "furo"
html_title = f"channel-emu {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """At the end of the first page: what the index lists, under its headings."""
    if name != root_doc:
        return
    index = (ROOT / f"{INDEX}.md").read_text("utf-8")
    for caption, items in re.findall(r"^\*\*(.+)\*\*\n\n((?:(?:- |  ).*\n)+)", index, re.MULTILINE):
        targets = [
            target for target in re.findall(r"^- \[.*?\]\((.+?)\)", items, re.MULTILINE) if target != "../README.md"
        ]
        entries = "\n".join(
            target.removeprefix("../") if target.startswith("../") else f"docs/{target}" for target in targets
        )
        source[0] += f"\n```{{toctree}}\n:caption: {caption}\n:maxdepth: 1\n:hidden:\n\n{entries}\n```\n"
    source[0] += f"\n```{{toctree}}\n:hidden:\n\n{INDEX}.md\n```\n"


def add_first_page(app: Sphinx, error: Exception | None) -> None:
    """Servers, and people who open the folder, look for index.html."""
    if error is None and app.builder.name == "html":
        shutil.copyfile(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_lexer("caddyfile", TextLexer)
    app.connect("source-read", add_navigation)
    app.connect("build-finished", add_first_page)
