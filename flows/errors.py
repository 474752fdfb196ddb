"""The errors of a run: each message is one line."""

from tasks.errors import FewlayersError


class FlowError(FewlayersError):
    """The run cannot start or go on as asked."""


class StageError(FewlayersError):
    """One stage failed; the message is the stage's own reason."""


class StoppedError(FewlayersError):
    """The run was told to stop while a child was at work."""
