"""The registry of repositories and their settings."""
