"""Folders that Freshet writes into, checked before anything depends on them."""

from __future__ import annotations

import uuid
from pathlib import Path

from app.errors import ConfigurationError


def make_writable(folder: Path) -> None:
    """Make the folder if need be, and write a file into it. Raises ConfigurationError that says what to change."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".freshet-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {folder} cannot be written ({error.strerror}); set FRESHET_DATA_DIR to one that can, "
            "or change the path in feature_store.yaml where it comes from there"
        ) from error
