"""The banner of documents whose package was not verified."""

from model_deployer.writing.markdown import Markdown

_UNVERIFIED = Markdown(
    "> **UNVERIFIED**: nobody has proved yet that what stands here holds on another machine. "
    "`deployer verify` does so, and takes this line away."
)


def unverified_banner(is_verified: bool) -> Markdown:
    """What the head of a document says of a package that was not verified; nothing of one that was."""
    return Markdown() if is_verified else _UNVERIFIED
