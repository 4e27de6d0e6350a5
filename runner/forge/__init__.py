"""Remotes and pull requests."""
