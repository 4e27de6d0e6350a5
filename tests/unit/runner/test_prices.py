"""Prices: cached tokens are input tokens, and an unknown model has no price."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price

from core.ledger.model_usage import ModelUsage
from core.ledger.prices import Prices
from runner.prices import GenaiPrices

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def prices() -> Prices:
    return GenaiPrices()


def cost(
    prices: Prices, provider: str, model: str, new: int, out: int, read: int = 0, written: int = 0
) -> Decimal | None:
    return prices.cost(ModelUsage("c", provider, model, new, out, read, written), AT)


def test_a_known_model_has_an_exact_price(prices: Prices) -> None:
    assert cost(prices, "openai", "gpt-5", 1_000_000, 0) == Decimal("1.25")
    assert cost(prices, "openai", "gpt-5", 0, 1_000_000) == Decimal(10)


def test_cached_tokens_come_on_top_of_the_others(prices: Prices) -> None:
    assert cost(prices, "openai", "gpt-5", 0, 0, 1_000_000) == Decimal("0.125")
    found = cost(prices, "anthropic", "claude-sonnet-4-5", 1000, 100, 500, 200)
    direct = calc_price(
        Usage(input_tokens=1700, output_tokens=100, cache_read_tokens=500, cache_write_tokens=200),
        model_ref="claude-sonnet-4-5",
        provider_id="anthropic",
        genai_request_timestamp=AT,
    )
    assert found == direct.total_price


@pytest.mark.parametrize("name", ["anthropic", "claude", "Claude"])
def test_a_family_is_known_by_its_provider(prices: Prices, name: str) -> None:
    assert cost(prices, name, "claude-sonnet-4-5", 1000, 0) is not None


def test_gemini_is_googles(prices: Prices) -> None:
    assert cost(prices, "gemini", "gemini-2.5-pro", 1000, 0) is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("nobody", "gpt-5"),
        ("", ""),
        ("openai", ""),
        ("openai", "x" * 9999),
    ],
)
def test_the_unknown_is_none_never_zero(prices: Prices, provider: str, model: str) -> None:
    assert cost(prices, provider, model, 1000, 1000) is None


def test_the_ceiling_is_no_less_than_the_cost(prices: Prices) -> None:
    for tokens in ((1000, 50, 0, 0), (0, 50, 1000, 0), (0, 50, 0, 1000), (400, 50, 300, 300)):
        found = cost(prices, "anthropic", "claude-sonnet-4-5", *tokens)
        ceiling = prices.ceiling(
            "anthropic", "claude-sonnet-4-5", input_tokens=1000, output_tokens=50
        )
        assert found is not None
        assert ceiling is not None
        assert found <= ceiling


def test_an_unknown_model_is_taken_for_the_dearest(prices: Prices) -> None:
    known = prices.ceiling("openai", "gpt-5", input_tokens=1000, output_tokens=1000)
    unknown = prices.ceiling("openai", "gpt-99", input_tokens=1000, output_tokens=1000)
    assert known is not None
    assert unknown is not None
    assert unknown >= known
    assert prices.ceiling("nobody", "x", input_tokens=1, output_tokens=1) is None


def test_a_call_without_reported_tokens_has_no_price(prices: Prices) -> None:
    assert cost(prices, "openai", "gpt-5", 0, 0) is None
