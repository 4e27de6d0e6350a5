"""What one model call used, as its provider reported it; who made it is added by the ledger."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens of one model in one CLI process, or of one answered SDK attempt (domain.md §14).

    Attributes:
        call_id: run id + model for a CLI process, else the provider's request id; unique.
        input_tokens: tokens that were neither read from nor written to a cache.
        cost_usd: as the provider stated it; None when unknown, never 0 for unknown.
    """

    call_id: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal | None = None
    duration_ms: int = 0
