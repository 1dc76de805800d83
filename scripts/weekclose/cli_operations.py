"""The command for whoever keeps the installation running."""

from dataclasses import asdict

import typer

from weekclose.cli_shared import AsJson


def doctor(json: AsJson = False) -> int:
    """Is everything in order to close a week? Looks at all of it, changes nothing; exits with 1 if not.

    A line for each check: ok, look (a warning) or bad, what was found, and what to do next.
    """
    from weekclose.doctor import examine, told
    from weekclose.output import print_json

    findings = list(examine())
    if json:
        print_json([asdict(each) for each in findings])
    else:
        print("\n".join(told(findings)))
    return int(any(each.state == "bad" for each in findings))


def add_to(app: typer.Typer) -> None:
    """Give the command these commands."""
    app.command("doctor")(doctor)
