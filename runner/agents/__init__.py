"""Agent CLIs as processes, and their output formats."""
