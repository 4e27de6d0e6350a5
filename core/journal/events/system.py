"""Events of the one ``system`` stream."""

from core.journal.envelope import Event


class CoreStarted(Event, kind="system.started"):
    """A process took ownership of this journal."""

    pid: int
    version: str


class CoreStopped(Event, kind="system.stopped"):
    """The owner let go of the journal in good order."""

    pid: int
    reason: str
