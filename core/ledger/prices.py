"""The port that knows what tokens cost. An unknown model has no price: None, never 0."""

from datetime import datetime
from decimal import Decimal
from typing import Protocol

from core.ledger.model_usage import ModelUsage


class Prices(Protocol):
    """A price list."""

    def cost(self, usage: ModelUsage, at: datetime) -> Decimal | None:
        """What ``usage`` cost in US dollars at that time, or None when the model is unknown."""
        ...

    def ceiling(
        self, provider: str, model: str, *, input_tokens: int, output_tokens: int
    ) -> Decimal | None:
        """The most that a call with so many tokens could cost, in US dollars.

        An unknown model is taken for the dearest of its provider; None for an unknown provider.
        """
        ...
