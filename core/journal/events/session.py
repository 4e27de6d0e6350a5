"""Events of a ``session:…`` stream: the conversation, the clarifications and the plan versions."""

from typing import Any, Literal

from core.journal.envelope import Event

PlannerStep = Literal["converse", "plan"]
Author = Literal["operator", "planner"]
CriterionSource = Literal["stated", "answered", "proposed"]


class SessionStarted(Event, kind="session.started"):
    """The operator began to say what is wanted. ``rehearsal`` names a script, or is empty."""

    session: str
    repo: str
    title: str
    description: str
    rehearsal: str = ""


class SessionRenamed(Event, kind="session.renamed"):
    """The session has another title; the gate goes on reading the first one."""

    title: str


class MessageAdded(Event, kind="message.added"):
    """One turn of the conversation."""

    message: str
    author: Author
    text: str


class PlannerAsked(Event, kind="planner.asked"):
    """The planner has been given a turn; its outcome follows.

    A repair turn (``attempt`` 2) names the ``problems`` found and the blob of the ``refused`` text.
    """

    call: str
    step: PlannerStep
    attempt: int
    problems: tuple[dict[str, str], ...] = ()
    refused: str = ""


class PlannerAnswered(Event, kind="planner.answered"):
    """The turn ended. ``end`` is how; a failure is followed by a hold."""

    call: str
    step: PlannerStep
    end: str
    confidence: float | None = None
    error: str = ""
    duration_ms: int = 0


class CriterionAdded(Event, kind="criterion.added"):
    """A criterion of the mission, with where it came from."""

    criterion: str
    text: str
    source: CriterionSource


class CriterionConfirmed(Event, kind="criterion.confirmed"):
    """The operator made a proposed criterion the mission's own."""

    criterion: str


class CriterionEdited(Event, kind="criterion.edited"):
    """The operator rewrote a criterion; it counts as confirmed from now on."""

    criterion: str
    text: str


class CriterionRemoved(Event, kind="criterion.removed"):
    """The operator dropped a criterion."""

    criterion: str


class ClarificationAsked(Event, kind="clarification.asked"):
    """One round of questions, of the gate or of the planner."""

    round: int
    questions: tuple[dict[str, Any], ...]


class ClarificationAnswered(Event, kind="clarification.answered"):
    """One answer; a later one for the same question replaces it."""

    question: str
    field: str
    text: str
    choice: str | None = None


class ClarificationSkipped(Event, kind="clarification.skipped"):
    """The operator passed over a question of the planner's own."""

    question: str


class ClarityLost(Event, kind="session.clarifying"):
    """The gate triggers: planning waits for answers."""

    score: int
    reasons: tuple[str, ...]


class ClarityReached(Event, kind="session.ready"):
    """The gate is content; ``spec`` is the blob of ``clarified-spec.md``."""

    score: int
    spec: str


class PlanDrafted(Event, kind="session.planned"):
    """A plan version with its documents; approval names exactly this version."""

    mission: str
    version: int
    author: Literal["planner", "operator"]
    plan: dict[str, Any]
    documents: dict[str, str]
    digest: str


class SessionApproved(Event, kind="session.approved"):
    """The plan version was approved."""

    version: int


class SessionExecuting(Event, kind="session.executing"):
    """The mission of this session was started."""

    mission: str


class SessionReturned(Event, kind="session.returned"):
    """Back to an earlier state: the plan was edited, or the mission failed."""

    to: Literal["planned", "approved"]
    reason: str


class SessionDelivered(Event, kind="session.delivered"):
    """A draft pull request is open."""

    mission: str


class SessionClosed(Event, kind="session.closed"):
    """The operator ended the session, or its mission was stopped."""

    reason: str


class SessionArchived(Event, kind="session.archived"):
    """Put away (or with ``False`` taken out again); its state stays."""

    archived: bool = True
