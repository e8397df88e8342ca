"""The table of contents and the glossary of a document, from its own text."""

from itertools import pairwise

from markdown_it import MarkdownIt

from model_deployer.handoff.documents.glossary import terms
from model_deployer.writing.markdown import Markdown, anchor, markdown, table

_GLOSSARY = "Glossary"


def with_contents(text: str, *, is_adopted: bool = False) -> str:
    """Return a document with links to its sections before the first one, and a glossary of its terms at the end.

    Args:
        text: The document as Markdown; its sections are headings of the second level.
        is_adopted: Whether it is about a model that was trained elsewhere.
    """
    rows = [[Markdown(f"**{markdown(term)}**"), about] for term, about in terms(text, is_adopted=is_adopted)]
    glossary = table(["Term", "Meaning"], rows)
    text = f"{text.rstrip()}\n\n## {_GLOSSARY}\n\n{glossary}\n" if glossary else text
    lines = text.splitlines()
    titles = _sections(text)
    links = " · ".join(f"[{title}](#{anchor(title)})" for _, title in titles)
    first = titles[0][0]
    return "\n".join([*lines[:first], f"**Contents:** {links}", "", *lines[first:]]) + "\n"


def _sections(text: str) -> list[tuple[int, str]]:
    """Return the line and the title of each section."""
    tokens = MarkdownIt("commonmark").parse(text)
    return [
        (heading.map[0], content.content)
        for heading, content in pairwise(tokens)
        if heading.type == "heading_open" and heading.tag == "h2" and heading.map
    ]
