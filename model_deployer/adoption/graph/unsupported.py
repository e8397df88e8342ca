"""The reason why a model cannot become a graph."""


class UnsupportedModel(Exception):
    """A part of the model has no graph writer; the message names it. A runner can still serve the model."""


class SeveralDecisions(UnsupportedModel):
    """The model decides for several labels for a row: neither a graph nor a runner serves it.

    Args:
        name: What the model is called, such as its class.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} makes several decisions for a row, and a served model makes one: adopt one model for each of "
            f"them, or a function 'predict' that answers one"
        )
