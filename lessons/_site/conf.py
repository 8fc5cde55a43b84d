"""Sphinx's settings for the course's site; `scripts/make_site.py` copies this beside the pages."""

import html
import os
import re

from docutils.nodes import SkipNode, Text, literal, math
from latex2mathml.converter import convert

project = "teachseg"
author = "the teachseg authors"
copyright = "the teachseg authors; texts and drawings under CC BY 4.0, code under MIT"
html_title = "teachseg"

extensions = ["myst_nb"]
nb_execution_mode = "off"  # the stored outputs are what is shown
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_number_source_lines = False
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
highlight_language = "none"  # a listing without a language is a drawing, not Python
suppress_warnings = ["misc.highlighting_failure"]  # a listing that is no Python stays plain

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["course.css"]
html_js_files = [("strips.js", {"defer": "defer"})]
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "home_page_in_toc": True,
    "collapse_navbar": True,  # a notebook is listed below its lesson, a module in the library
    "navbar_persistent": [],  # the sidebar has the search: one is enough
    "toc_title": "On this page",
}
html_context = {"default_mode": "auto"}  # light or dark, as the system is
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"

# ---- where the project is published: make_site.repository() says it, or nothing ------------------

ADDRESS = os.environ.get("TEACHSEG_REPOSITORY", "")
if ADDRESS:
    html_theme_options |= {
        "repository_url": ADDRESS,
        "repository_branch": "main",
        "path_to_docs": "",  # the site's notebooks/NAME is the repository's notebooks/NAME
        "use_repository_button": True,
        "launch_buttons": {"binderhub_url": "https://mybinder.org",
                           "notebook_interface": "jupyterlab"},
    }
    if ADDRESS.startswith("https://github.com/"):  # Colab opens notebooks from there alone
        html_theme_options["launch_buttons"]["colab_url"] = "https://colab.research.google.com"

# ---- formulas: MathML, which browsers draw themselves, so that nothing is fetched ----------------

WORDS = "box|class|cls|exact|mask|objectness|reg|roi|rpn|rpnbox|smooth|softmax"
RELATION = "&#x0003D;|&#x0003C;|&#x0003E;|&#x02264;|&#x02265;|&#x02248;"
OPENING = "&#x00028;|&#x0005B;|&#x0002C;|&#x000D7;|&#x022C5;"
FUNCTION = r"<m[io]>(?:max|min|ln|log|exp|cos|sinh)</m[io]>"
SPACING = (  # what browsers space otherwise than a printed formula: what it is -> what it shall be
    # |x| is an x between two bars
    (r'<mo(?: stretchy="false")?>&#x0007C;</mo>',
     r'<mo stretchy="false" lspace="0" rspace="0">&#x0007C;</mo>'),
    # an arrow between two formulas stands apart, a colon is followed by a space, infinity by none
    (r"<mi>(&#x027FA;|&#x027F9;|&#x027F6;)</mi>",
     r'<mo lspace="0.5em" rspace="0.5em">\1</mo>'),
    ("<mi>:</mi>", '<mo lspace="0.1em" rspace="0.3em">:</mo>'),
    (r"<mo>&#x0221E;</mo>", "<mi>&#x0221E;</mi>"),
    # a minus after a relation or a bracket is a sign
    (rf"((?:{RELATION}|{OPENING})</mo><mo)>(&#x02212;|&#x0002B;|&#x000B1;)",
     r'\1 form="prefix">\2'),
    # a prime is raised already, in the text's own font
    (r"<msubsup>((?:<m[in]>\w+</m[in]>){2})<mi>&#x02032;</mi></msubsup>",
     r'<mrow><msub>\1</msub><mtext class="prime">&#x02032;</mtext></mrow>'),
    (r"<msup>(<mi>[\w&#;]+</mi>|<mrow>(?:<mi[^>]*>\w+</mi>)+</mrow>)<mi>&#x02032;</mi></msup>",
     r'<mrow>\1<mtext class="prime">&#x02032;</mtext></mrow>'),
    # max stands close to its bracket, ln x has a narrow space, and so has x ln
    (r"<mo>(max|min)</mo>", r"<mi>\1</mi>"),
    (rf"({FUNCTION}|<msub>{FUNCTION}<m[ni]>\w+</m[ni]></msub>)(?=<m[ni]>|<msup>|<msub>|<msubsup>|<mfrac>)",
     r'\1<mspace width="0.17em"></mspace>'),
    (rf"(</(?:m[in]|msub|msup|msubsup)>)(?=(?:<msub>)?{FUNCTION})",
     r'\1<mspace width="0.17em"></mspace>'),
)


UNKNOWN = (  # to the converter; what it understands instead
    (r"\\arg(?![a-z])", r"\\text{arg }"),
    (r"\\[Bb]igg?(?=\\[lr](?:floor|ceil))", ""),  # these grow by themselves
)


def mathml(formula: str, display: str = "inline") -> str:
    """A formula in LaTeX -> MathML."""
    for before, after in UNKNOWN:
        formula = re.sub(before, after, formula)
    text = whole_words(convert(formula, display=display))
    for before, after in SPACING:
        text = re.sub(before, after, text)
    return text


def whole_words(text: str) -> str:
    """The letters of a word, as in L_cls, are one name and no product."""
    def joined(found: re.Match) -> str:
        letters = re.sub(r"</?mi>", "", found[0])
        return f"<mi>{letters}</mi>" if re.fullmatch(WORDS, letters) else found[0]

    return re.sub(r"(?:<mi>[a-z]</mi>){3,}", joined, text)


def write_math(self, node):
    """A formula in the text; one that is wider than a narrow window scrolls."""
    formula = f'<span class="formula">{mathml(node.astext())}</span>'
    before, after = node.get("before", ""), node.get("after", "")
    if before or after:
        formula = f'<span class="together">{before}{formula}{after}</span>'
    self.body.append(formula)
    raise SkipNode


def keep_marks(app, doctree, name):
    """A bracket before a formula and the marks after it do not stand on a line of their own."""
    for node in list(doctree.findall(math)):
        place, siblings = node.parent.index(node), node.parent.children
        if place and isinstance(siblings[place - 1], Text) and siblings[place - 1].endswith("("):
            node["before"] = "("
            siblings[place - 1] = Text(siblings[place - 1][:-1])
        if place + 1 < len(siblings) and isinstance(siblings[place + 1], Text):
            node["after"] = re.match(r"[.,;:?!)]*", siblings[place + 1])[0]
            siblings[place + 1] = Text(siblings[place + 1][len(node["after"]):])


def write_math_block(self, node):
    """A formula on a line of its own."""
    formula = mathml(node.astext(), "block")
    self.body.append(f'<div class="formula" tabindex="0" role="math">{formula}</div>')
    raise SkipNode


def write_code(self, node):
    """Code in the text: a narrow column may break it after a dot or a slash, not within --seed."""
    code = re.sub(r"(?<=\w[./])(?=[A-Za-z_])", "<wbr>", html.escape(node.astext()))
    code = re.sub(r"(?<!\S)--?\w[\w-]*", r'<span class="together">\g<0></span>', code)
    self.body.append(f'<code class="docutils literal notranslate">{code}</code>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (write_math, None), (write_math_block, None))
    app.connect("doctree-resolved", keep_marks)
    app.add_node(literal, override=True, html=(write_code, None))
