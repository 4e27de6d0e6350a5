"""The sources of settings in rising strength: defaults, file, environment, command line.

The variables of other programs (``ANTHROPIC_*``, ``OPENAI_*``, …) are never looked at.
"""

from collections.abc import Mapping
from pathlib import Path

from core.errors import Invalid
from core.settings.file import read_layer
from core.settings.layers import Layer, Placed, Provenance, Resolved, check_known, resolve
from core.settings.model import Settings
from core.settings.text_values import read_text

PREFIX = "COCKPIT_"
NESTING = "__"
OPTION = "--set"
# Variables of ours that are read elsewhere and are no settings.
NOT_SETTINGS = frozenset(
    {"COCKPIT_HOME", "COCKPIT_PROFILE", "COCKPIT_SOCKET", "COCKPIT_VAULT_KEY_FILE"}
)


def load(
    file: Path | None,
    environment: Mapping[str, str],
    command_line: Mapping[str, str] | None = None,
) -> Resolved[Settings]:
    """The settings in force, each with its origin.

    Args:
        file: the profile's TOML file; None or absent means no values.
        environment: the process environment; only ``COCKPIT_…`` is read.
        command_line: dotted keys of ``--set key=value``, values as text.

    Raises:
        Invalid: an unknown key or variable, a wrong value, or a malformed file.
    """
    layers = []
    if file is not None:
        layers.append(read_layer(Settings, file))
    layers.append(_environment_layer(environment))
    layers.append(_command_line_layer(command_line or {}))
    return resolve(Settings, layers)


def _environment_layer(environment: Mapping[str, str]) -> Layer:
    values: dict[str, Placed] = {}
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        key = name.removeprefix(PREFIX).lower().replace(NESTING, ".")
        check_known(Settings, key, name)
        if name != variable(key):
            raise Invalid(
                key, f"The variable {name} is not spelled {variable(key)}.",
                recovery=f"Rename it to {variable(key)}.", data={"where": name},
            )  # fmt: skip
        values[key] = Placed(read_text(Settings, key, environment[name], name), name)
    return Layer("environment", values)


def variable(key: str) -> str:
    """The environment variable of a dotted key: ``COCKPIT_SYSTEM__LANGUAGE``."""
    return PREFIX + key.replace(".", NESTING).upper()


def _command_line_layer(command_line: Mapping[str, str]) -> Layer:
    values: dict[str, Placed] = {}
    for key, text in command_line.items():
        check_known(Settings, key, OPTION)
        values[key] = Placed(read_text(Settings, key, text, OPTION), OPTION)
    return Layer("command_line", values)


def parse_options(options: list[str]) -> dict[str, str]:
    """The mapping of ``--set key=value`` options; the last one of a key wins.

    Raises:
        Invalid: an option without ``=`` or without a key.
    """
    values: dict[str, str] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key.strip():
            raise Invalid(
                OPTION,
                f"{OPTION} needs a key and a value.",
                recovery=f"Write {OPTION} system.language=en.",
            )
        values[key.strip()] = text
    return values


def explain(settings: Resolved[Settings]) -> list[Provenance]:
    """Every setting in force with its origin, in the order of the model ("cockpit config show")."""
    return list(settings.provenance.values())
