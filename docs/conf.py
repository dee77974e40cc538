"""Sphinx: `make docs`. Pages are Markdown (MyST), the theme is furo, a warning is an error."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import diagrams  # noqa: E402
import differences  # noqa: E402
import docstrings  # noqa: E402
import signatures  # noqa: E402
import transcripts  # noqa: E402

project = "child_port"
author = "the child_port authors"
copyright = author
release = version_of("child-port")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"child_port {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
autodoc_default_options = {"members": True, "show-inheritance": True}

# All are made from their sources at each build.
diagrams.write_all(HERE / "_generated")
differences.write(HERE / "_generated" / "differences.md")
transcripts.write_all(HERE / "_generated")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", docstrings.process)
    app.connect("autodoc-process-signature", signatures.process)
