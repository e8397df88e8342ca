"""Self-contained HTML pages: one document shell and one base style for every page that the project writes."""

from html import escape

_BASE_STYLE = """
:root { --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; --accent: #2f6690; --good: #2d7d5a; --bad: #b5533c; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; -webkit-text-size-adjust: 100%; }
main { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
p { overflow-wrap: anywhere; }
a { color: var(--accent); }
table { border-collapse: collapse; line-height: 1.4; }
th, td { text-align: left; padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
pre { background: #f1f3f5; border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; }
img { display: block; max-width: 100%; height: auto; }
@media print { main { max-width: none; padding: 0; } tr, img { break-inside: avoid; } }
"""


def html_page(title: str, body: str, style: str = "") -> str:
    """Return a complete HTML document.

    Args:
        title: The title of the window, as plain text.
        body: The content of the page, as HTML.
        style: CSS rules that are added to the base style and override it.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_BASE_STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )
