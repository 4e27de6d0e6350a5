"""The hands that one Desk has been given; what writes to a remote is not among them."""

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
    """

    workshop: Workshop
    planner: Planner
    coder: Coder
    harness: Harness
    judges: Mapping[str, Judge]
    forge: Forge
    prices: Prices
