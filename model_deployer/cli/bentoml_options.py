"""Options that a command passes on to BentoML."""

import typer

#: The context settings of a command that passes options on.
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def split_arguments(context: typer.Context, tag: str | None) -> tuple[str | None, list[str]]:
    """Separate the tag of the model from the options for BentoML.

    Args:
        context: The context of the command, with its unknown options.
        tag: The first argument; without a model, it may be an option for BentoML.

    Returns:
        The tag, or None, and the options.
    """
    if tag and tag.startswith("-"):
        return None, [tag, *context.args]
    return tag, context.args
