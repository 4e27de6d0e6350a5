"""Usage, prices and budgets."""
