"""Logging: structlog for our own lines and for those of the libraries, to stderr, as text or JSON."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def _drop_color(logger: Any, name: str, event: Any) -> Any:
    # uvicorn sends every line twice, the second time with terminal colours.
    event.pop("color_message", None)
    return event


def configure_logs(log_format: str) -> None:
    """Send every log line through one formatter: `console` for people, `json` for collectors. Times are UTC."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    console = log_format == "console"
    # The default formatter prints the local variables of every frame, passwords among them.
    to_people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderer = to_people if console else structlog.processors.JSONRenderer()
    final: list[Any] = [_drop_color, structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not console:
        final.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*final, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("alembic", "feast", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # For each request uvicorn puts together the line of an access log that has anywhere to go.
        logger.propagate = name != "uvicorn.access"
