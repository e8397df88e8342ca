"""The reason why a model cannot become a graph."""


class UnsupportedModel(Exception):
    """A part of the model has no graph writer; the message names it. A runner can still serve the model."""
