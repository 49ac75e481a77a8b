"""freshet apply: definitions into the registry."""

from __future__ import annotations

from app.commands.console import out
from app.settings import Settings
from app.stores.definitions import Change, apply_definitions
from app.stores.repo import FeastRepo, open_repo

_SIGNS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "kept": "[dim]=[/]"}


def apply() -> None:
    """Bring the definitions of the repo that the settings name into its registry."""
    settings = Settings()
    show(apply_definitions(open_repo(settings), settings))


def show(changes: list[Change]) -> None:
    """Print what apply did, a line per object."""
    for change in changes:
        note = "  no longer in the repo; kept" if change.action == "kept" else ""
        out.print(f"  {_SIGNS[change.action]} {change.kind} {change.name}{note}")
    applied = sum(change.action != "kept" for change in changes)
    out.print(f"Applied {applied} change{'' if applied == 1 else 's'}." if applied else "Registry is up to date.")


def apply_repo(repo: FeastRepo, settings: Settings) -> None:
    """The same for a repo that is open already."""
    show(apply_definitions(repo, settings))
