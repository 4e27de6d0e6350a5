"""``cockpit doctor``: what this machine has and lacks, with one fix for each finding."""

import asyncio
from typing import TYPE_CHECKING

import typer

from cockpit.cli.app import new_app
from cockpit.cli.surface import surface_of
from cockpit.visible import one_line

if TYPE_CHECKING:
    from cockpit.doctor import Finding

_MARKS = {"ok": "ok", "missing": "MISSING", "warning": "not yet", "skipped": "off"}
app = new_app()


@app.command()
def doctor(context: typer.Context) -> None:
    """Look at this machine: what is there, what is missing, and what mends it.

    Ends with 1 when something is missing that every mission needs, else with 0.
    """
    from cockpit.doctor import examine, is_healthy, report

    surface = surface_of(context)
    with surface.opened() as profile:
        findings = asyncio.run(examine(profile.folders, profile.settings().value))
    if surface.json:
        surface.show(report(findings))
    else:
        group = ""
        for finding in findings:
            if finding.group != group and not surface.plain:
                typer.echo(f"\n{finding.group}")
            group = finding.group
            _tell(finding)
    raise typer.Exit(0 if is_healthy(findings) else 1)


def _tell(finding: "Finding") -> None:
    mark = _MARKS[finding.status]
    typer.echo(f"  {mark:<8} {finding.id:<14} {one_line(finding.found)}")
    if finding.fix:
        typer.echo(f"           {'':<14} fix: {one_line(finding.fix)}")
