"""Options that a command passes on to BentoML."""

import typer

#: What a command is registered with that passes options on.
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def passed_on(context: typer.Context, tag: str | None) -> tuple[str | None, list[str]]:
    """The model that was named, if any, and the options for BentoML; these may stand in place of a model."""
    if tag and tag.startswith("-"):
        return None, [tag, *context.args]
    return tag, context.args
