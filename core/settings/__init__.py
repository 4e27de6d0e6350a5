"""The typed settings of a profile: their model, their sources and their file."""

from core.settings.file import set_value, unset_value
from core.settings.layers import Provenance, Resolved, Source
from core.settings.model import Budgets, Settings
from core.settings.sources import explain, load

__all__ = [
    "Budgets",
    "Provenance",
    "Resolved",
    "Settings",
    "Source",
    "explain",
    "load",
    "set_value",
    "unset_value",
]
