"""A document as a self-contained HTML page."""

import base64
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from model_deployer.writing.html_page import html_page
from model_deployer.writing.markdown import anchor


def page(title: str, text: str, plots: Mapping[str, bytes]) -> str:
    """Return a complete HTML page.

    Args:
        title: The title of the window.
        text: The document as Markdown; HTML in it is escaped.
        plots: The content of PNG files by the stem of their names; they replace the images that the document links to.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    _set_heading_ids(tokens)
    _embed_images(tokens, plots)
    return html_page(title, parser.renderer.render(tokens, parser.options, {}).rstrip(), _STYLE)


def _set_heading_ids(tokens: Sequence[Token]) -> None:
    """Give each heading the id that links within the document refer to."""
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(content.content))


def _embed_images(tokens: Sequence[Token], plots: Mapping[str, bytes]) -> None:
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                png = plots[PurePosixPath(str(child.attrs["src"])).stem]
                child.attrs["src"] = f"data:image/png;base64,{base64.b64encode(png).decode()}"


_STYLE = """
main { max-width: 60rem; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 46rem; overflow-wrap: anywhere; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid var(--bad); background: #faf3f1; }
table { display: block; overflow-x: auto; font-size: .9rem; margin: .8rem 0; }
td { font-variant-numeric: tabular-nums; max-width: 24rem; }
code { font-size: .88em; background: #f1f3f5; border-radius: 4px; padding: .1em .3em; overflow-wrap: anywhere; }
td:first-child code { overflow-wrap: normal; }
pre code { padding: 0; background: none; }
img { margin: .8rem 0; }
@media print { table { display: table; } }
"""
