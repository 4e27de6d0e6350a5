"""The hands that one Desk has been given. What writes to a remote is not among them (``gate.py``)."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.delivery.forge import Forge
from core.judgement.harness import Harness
from core.judgement.judge import Judge
from core.ledger.prices import Prices
from core.missions.coder import Coder
from core.missions.workshop import Workshop
from core.planning.planner import Planner


@dataclass(frozen=True, slots=True)
class Ports:
    """Adapters behind the ports, as ``cockpit/compose.py`` chose them.

    Attributes:
        judges: by validator family.
        rehearsal_url: base URL of the embedded model server for a script's name.
    """

    workshop: Workshop
    planner: Planner
    coder: Coder
    harness: Harness
    judges: Mapping[str, Judge]
    forge: Forge
    prices: Prices
