"""How Sphinx makes the site out of docs/ (script/docs)."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # sphinx-build may stand anywhere

from voipcluster import __version__  # noqa: E402 - behind the path that finds it

project = "voipcluster"
copyright = "the authors of voipcluster, MIT licence"
release = version = __version__

extensions = ["myst_parser", "docs.generated"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4  # each heading has the anchor that it has in a repository's viewer
myst_links_external_new_tab = True
suppress_warnings = ["misc.highlighting_failure"]  # what a program prints is no program
highlight_language = "none"
smartquotes = False  # text is copied from here into files and shells

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_title = f"voipcluster {__version__}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
