"""The text of a feature_store.yaml, read as Feast reads it, without importing Feast (which takes seconds)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from app.errors import ConfigurationError, one_line
from app.settings import Settings


def project_of(settings: Settings) -> str:
    """The name of the project that the settings' repo defines. Raises ConfigurationError as `read_yaml` does."""
    return str(read_yaml(settings.repo_path / settings.feature_store_yaml)["project"])


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file, its variables filled in. Raises ConfigurationError with one line: what to change."""
    if not path.parent.is_dir():
        raise ConfigurationError(f"There is no folder {path.parent}; set FRESHET_FEATURE_REPO to a Feast repo")
    try:
        # Feast expands variables in the text before it parses, so this does, too.
        text = os.path.expandvars(path.read_text(encoding="utf-8"))
        raw = yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no {path.name} in {path.parent}; FRESHET_FEATURE_REPO must be a folder with a Feast "
            "feature_store.yaml (FRESHET_FEATURE_STORE_YAML names another file in it)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        place = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or one_line(error)
        raise ConfigurationError(f"{path}{place}: not valid YAML: {problem}") from None
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path} is not a mapping of settings; see Feast's feature_store.yaml reference")
    unset = sorted(set(re.findall(r"\$\{(\w+)\}", "\n".join(_strings(raw)))))
    if unset:
        raise ConfigurationError(f"{path} uses environment variables that are not set: {', '.join(unset)}")
    for required in ("project", "registry"):
        if required not in raw:
            raise ConfigurationError(f"{path}: `{required}` is missing")
    return raw


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for entry in value.values() for text in _strings(entry)]
    if isinstance(value, list):
        return [text for entry in value for text in _strings(entry)]
    return [value] if isinstance(value, str) else []
