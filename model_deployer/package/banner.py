"""The banner in the documents of a package that was not verified."""

from model_deployer.writing.markdown import Markdown

_UNVERIFIED = Markdown(
    "> **UNVERIFIED**: the statements on this page have not been checked yet. "
    "`deployer verify` checks them; if every check passes, it removes this note."
)


def unverified_banner(is_verified: bool) -> Markdown:
    """Return the note at the top of a document whose package was not verified; empty text if it was."""
    return Markdown() if is_verified else _UNVERIFIED
