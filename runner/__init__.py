"""The hands on the outside world: git, processes, model providers, forges."""
