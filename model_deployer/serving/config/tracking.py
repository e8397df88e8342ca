"""BentoML's usage tracking, which is off unless it is turned on."""

import os

from bentoml._internal.utils.analytics.usage_stats import do_not_track

_VARIABLE = "BENTOML_DO_NOT_TRACK"

_YES = frozenset({"1", "true", "t", "yes", "y", "on"})


def disable() -> None:
    """Have this process and its children send nothing to BentoML, unless BENTOML_DO_NOT_TRACK is set to False.

    Call it before the server starts: BentoML sends its first message then.
    """
    # BentoML itself knows no other word for yes than "true"; its command line does.
    if os.environ.get(_VARIABLE, "1").lower() in _YES:
        os.environ[_VARIABLE] = "True"
    # The command `bentoml` has looked at the variable, and remembers what it was.
    do_not_track.cache_clear()
