"""The pieces of a page of HTML: text is escaped, what is HTML already is not."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from model_deployer.writing.html_page import html_page


class Html(str):
    """Text that is HTML; all other text is escaped."""

    __slots__ = ()


def html(text: str) -> Html:
    """Text as HTML."""
    return text if isinstance(text, Html) else Html(escape(text))


def join(parts: Iterable[str]) -> Html:
    """Parts of a page, one after the other."""
    return Html("\n".join(html(part) for part in parts))


def element(tag: str, *content: str, of: str = "") -> Html:
    """An element, of a class of the style sheet if it says so."""
    start = f'<{tag} class="{escape(of)}">' if of else f"<{tag}>"
    return Html(f"{start}{''.join(html(part) for part in content)}</{tag}>")


def section(title: str, *content: str) -> Html:
    """A part of the page with a heading."""
    return element("section", element("h2", title), *content)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table that scrolls sideways where the screen is narrow; cells of class "n" are numbers."""
    top = element("tr", *(element("th", cell) for cell in head))
    body = (element("tr", *(cell if _is_cell(cell) else element("td", cell) for cell in row)) for row in rows)
    return element("div", element("table", element("thead", top), element("tbody", *body)), of="wide")


def number_cell(text: str) -> Html:
    """A cell of a table that holds a number."""
    return element("td", text, of="n")


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names and what they stand for; those of nothing are left out."""
    return element("dl", *(join((element("dt", name), element("dd", fact))) for name, fact in pairs if fact))


def picture(png: bytes, description: str) -> Html:
    """A PNG file inside the page; the description is for those who cannot see it."""
    content = base64.b64encode(png).decode()
    return element("figure", Html(f'<img alt="{escape(description)}" src="data:image/png;base64,{content}">'))


def page(title: str, *content: str) -> str:
    """A whole page that needs nothing but itself."""
    return html_page(title, join(content), _STYLE)


def _is_cell(cell: str) -> bool:
    return isinstance(cell, Html) and cell.startswith("<td")


_STYLE = """
body { background: #f7f8f9; }
main { max-width: 52rem; }
header { margin-bottom: 1.5rem; }
h1 { margin: 0 0 .5rem; letter-spacing: -.01em; }
h1 small { color: var(--soft); font-weight: 400; font-size: 1.15rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 0 0 .5rem; }
p { margin: 0 0 .8rem; max-width: 44rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1.4rem 1.5rem;
  margin: 1.1rem 0; }
section > :last-child { margin-bottom: 0; }
.soft { color: var(--soft); font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .9rem; margin: 1.2rem 0; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; }
.card b { display: block; font-size: 1.8rem; line-height: 1.25; font-weight: 600; color: var(--accent);
  font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: .87rem; color: var(--soft); }
.wide { overflow-x: auto; margin: .6rem 0; }
table { width: 100%; font-size: .92rem; }
th { font-size: .82rem; }
th:last-child, td:last-child { padding-right: 0; }
tbody tr:last-child td { border-bottom: 0; }
td { overflow-wrap: break-word; min-width: 6.5rem; }
td small { display: block; color: var(--soft); min-width: 11rem; }
.n { font-variant-numeric: tabular-nums; white-space: nowrap; min-width: 0; }
td:has(> .good, > .bad) { min-width: 0; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
figure { margin: .8rem 0; }
img { width: 100%; max-width: 46rem; margin: 0 auto; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .3rem 1.2rem; margin: .6rem 0;
  font-size: .92rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { font-size: .88rem; margin: .6rem 0; }
@media (max-width: 34rem) { main { padding: 1.2rem .7rem 2rem; } section { padding: 1rem; } dl { display: block; }
  dd { margin-bottom: .4rem; } }
@media print { body { background: #fff; font-size: 11pt; } section, .card { border-color: #ccc; }
  figure, .card { break-inside: avoid; } h2 { break-after: avoid; } .wide { overflow: visible; } }
"""
