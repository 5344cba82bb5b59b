"""How Sphinx builds the documentation: ``make docs``."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_extensions")]

# Importing Airflow writes a configuration file; it has no business in the reader's home.
_HOME = tempfile.mkdtemp(prefix="gptimg-docs-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=_HOME, AIRFLOW__CORE__LOAD_EXAMPLES="False", AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING"
)

from airflow_provider_gptimg import __version__  # noqa: E402

project = "airflow-provider-gptimg"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "generated_tables",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"airflow-provider-gptimg {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_copyright = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

nitpicky = True
# Only what belongs to this package has a page here; an inventory of Python's and Airflow's own names
# would have to be downloaded.
nitpick_ignore_regex = [
    ("py:.*", r"(?!airflow_provider_gptimg\b).*"),
    # These two exist for type checkers only.
    ("py:class", r"airflow_provider_gptimg\.decorators\.gptimg\.(GptImgTask|_Decorator)"),
    # Arguments of classes that only this package makes.
    ("py:class", r"airflow_provider_gptimg\.api\.(interruption\.Interruption|polling\.prior\.Prior)"),
]

autodoc_member_order = "bysource"
always_document_param_types = True
typehints_use_rtype = False
# Types that only a type checker can see, in this package or in Airflow, stay as they are written.
suppress_warnings = ["sphinx_autodoc_typehints.forward_reference", "sphinx_autodoc_typehints.guarded_import"]
# The same for Python 3.10, whose sphinx-autodoc-typehints has no names for its warnings.
logging.getLogger("sphinx.sphinx_autodoc_typehints").addFilter(
    lambda record: not str(record.msg).startswith(("Cannot resolve forward", "Failed guarded type"))
)
warnings.filterwarnings("ignore", message=".*set_application", module="sphinx_autodoc_typehints")

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
