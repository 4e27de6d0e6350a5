"""The price list of genai-prices behind the Prices port: the one place that converts usage for it.

It makes no request: prices are those of the installed package.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from core.ledger.model_usage import ModelUsage

if TYPE_CHECKING:
    from genai_prices.types import Provider

_PROVIDERS = {
    "anthropic": "anthropic",
    "claude": "anthropic",
    "openai": "openai",
    "google": "google",
    "gemini": "google",
}


class GenaiPrices:
    """Prices of genai-prices, in US dollars."""

    def cost(self, usage: ModelUsage, at: datetime) -> Decimal | None:
        """See :class:`core.ledger.prices.Prices`; without any reported token it is unknown."""
        counted = usage.input_tokens + usage.output_tokens
        if not counted + usage.cache_read_tokens + usage.cache_write_tokens:
            return None
        return _price(usage, at)

    def ceiling(
        self, provider: str, model: str, *, input_tokens: int, output_tokens: int
    ) -> Decimal | None:
        """See :class:`core.ledger.prices.Prices`.

        Input is priced as written to a cache where that is dearer.
        """
        known = _dearest(provider, model, input_tokens, output_tokens)
        if known is not None:
            return known
        prices = (
            _dearest(provider, other, input_tokens, output_tokens)
            for other in _models_of(_PROVIDERS.get(provider.lower(), ""))
        )
        return max((price for price in prices if price is not None), default=None)


def _dearest(provider: str, model: str, input_tokens: int, output_tokens: int) -> Decimal | None:
    now = datetime.now(UTC)
    plain = ModelUsage("ceiling", provider, model, input_tokens, output_tokens)
    cached = ModelUsage(
        "ceiling", provider, model, 0, output_tokens, cache_write_tokens=input_tokens
    )
    prices = (_price(usage, now) for usage in (plain, cached))
    return max((price for price in prices if price is not None), default=None)


def _price(usage: ModelUsage, at: datetime) -> Decimal | None:
    """genai-prices wants input tokens including cached ones, and raises for unknown models."""
    from genai_prices import Usage, calc_price

    provider = _PROVIDERS.get(usage.provider.lower())
    if provider is None or not usage.model:
        return None
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    try:
        found = calc_price(
            Usage(
                input_tokens=usage.input_tokens + cached,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            ),
            model_ref=usage.model,
            provider_id=provider,
            genai_request_timestamp=at,
        )
    except (LookupError, ValueError):
        return None
    return found.total_price


@lru_cache(maxsize=8)
def _models_of(provider: str) -> tuple[str, ...]:
    from genai_prices.data import providers

    found: list[Provider] = [each for each in providers if each.id == provider]
    return tuple(model.id for each in found for model in each.models)
