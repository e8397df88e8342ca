"""A document as a page of HTML that needs nothing but itself."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from model_deployer.writing.markdown import anchor


def page(title: str, text: str, plots: Mapping[str, bytes]) -> str:
    """A whole page.

    Args:
        title: Of the window.
        text: The document, as Markdown. HTML in it is shown, not obeyed.
        plots: PNG files by the stem of their names, which take the place of the pictures that the document links to.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    _name_headings(tokens)
    _put_pictures_in(tokens, plots)
    body = reader.renderer.render(tokens, reader.options, {})
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _name_headings(tokens: Sequence[Token]) -> None:
    """Give each heading the id that links within the document lead to."""
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(content.content))


def _put_pictures_in(tokens: Sequence[Token], plots: Mapping[str, bytes]) -> None:
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                png = plots[PurePosixPath(str(child.attrs["src"])).stem]
                child.attrs["src"] = f"data:image/png;base64,{base64.b64encode(png).decode()}"


_STYLE = """
:root { --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; --accent: #2f6690; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 46rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid #b5533c; background: #faf3f1; }
table { display: block; overflow-x: auto; border-collapse: collapse; font-size: .9rem; line-height: 1.4;
  margin: .8rem 0; }
th, td { text-align: left; padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td { font-variant-numeric: tabular-nums; max-width: 24rem; }
code { font-size: .88em; background: #f1f3f5; border-radius: 4px; padding: .1em .3em; overflow-wrap: anywhere; }
pre { background: #f1f3f5; border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; }
td:first-child code { overflow-wrap: normal; }
pre code { padding: 0; background: none; }
img { display: block; max-width: 100%; height: auto; margin: .8rem 0; }
@media print { main { max-width: none; padding: 0; } table { display: table; } tr, img { break-inside: avoid; } }
"""
