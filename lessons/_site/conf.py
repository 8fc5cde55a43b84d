"""Sphinx's settings for the course's site; `scripts/make_site.py` copies this beside the pages."""

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

project = "teachseg"
author = "the teachseg authors"
copyright = "the teachseg authors; texts and drawings under CC BY 4.0, code under MIT"
html_title = "teachseg"

extensions = ["myst_nb"]
nb_execution_mode = "off"  # the stored outputs are what is shown
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["misc.highlighting_failure"]  # a listing that is no Python stays plain

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["course.css"]
html_js_files = [("strips.js", {"defer": "defer"})]
html_theme_options = {"show_toc_level": 2, "use_download_button": False, "home_page_in_toc": True}
html_context = {"default_mode": "auto"}  # light or dark, as the system is
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"


def write_math(self, node):
    """A formula in the text, as MathML: browsers draw it themselves, and nothing is fetched."""
    self.body.append(convert(node.astext()))
    raise SkipNode


def write_math_block(self, node):
    """A formula on a line of its own."""
    formula = convert(node.astext(), display="block")
    self.body.append(f'<div class="formula" tabindex="0" role="math">{formula}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (write_math, None), (write_math_block, None))
