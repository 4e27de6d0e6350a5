"""Shows a mission while it happens: one line an event, with the time since the start."""

import time
from collections.abc import Mapping
from typing import Any

import typer

from cockpit.sentences import sentence
from cockpit.visible import one_line

_WIDTH = 200


class Progress:
    """Writes a line for each event that has a sentence; silent where one object is wanted."""

    def __init__(self, *, silent: bool):
        """Begin to count the time."""
        self._silent = silent
        self._began = time.monotonic()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Hear of an event."""
        text = "" if self._silent else sentence(event)
        if text:
            self.say(text)

    def say(self, text: str) -> None:
        """Write one line of our own."""
        if not self._silent:
            typer.echo(f"{time.monotonic() - self._began:7.1f} s  {one_line(text)[:_WIDTH]}")


def summary(result: Mapping[str, Any]) -> list[str]:
    """The end of a mission in a few lines."""
    lines = [""]
    if result.get("rehearsal"):
        lines.append(f"Rehearsal {result['rehearsal']!r}: the models were played from a script.")
    if result.get("code"):
        lines.append(f"{result['code']}: {result.get('sentence', '')}")
    lines += [_question(question) for question in result.get("questions", ())]
    if result.get("digest"):
        lines += _decided(result)
    if result.get("recovery"):
        lines.append(f"Next: {result['recovery']}")
    if result.get("mission"):
        lines.append(f"Look at it: cockpit mission show {result['mission']}")
    return [one_line(line) for line in lines]


def _question(question: Mapping[str, Any]) -> str:
    choices = "; ".join(choice["title"]["en"] for choice in question["choices"])
    return f"  {question['id']}: {question['text']['en']} ({choices})"


def _decided(result: Mapping[str, Any]) -> list[str]:
    risk, usage, gate = result["risk"], result["usage"]["total"], result["gate"]["code"]
    verdicts = ", ".join(f"{v['family']} {v['verdict']}" for v in result["verdicts"])
    tokens = sum(v for k, v in usage.items() if k.endswith("_tokens"))
    cost = f"{usage['known_cost_usd']} USD known, {usage['unpriced']} calls not priced"
    causes = f" ({', '.join(result['causes'])})" if result["causes"] else ""
    lines = [
        f"Decision  {result['decision']}{causes}",
        f"Evidence  {result['digest']}",
        f"Verdicts  {verdicts or 'not asked'}",
        f"Risk      {risk['score']} ({risk['level']})",
        f"Usage     {tokens} tokens in {usage['calls']} calls; {cost}",
    ]
    if result["pull_request"]:
        return [*lines, f"Gate      open: draft pull request {result['pull_request']['url']}"]
    return [*lines, f"Gate      {gate}: nothing left this machine"]
