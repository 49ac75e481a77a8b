"""What a log must never hold."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_in_the_log_shows_no_local_variables(form: str) -> None:
    program = f"""
from app.logs import configure_logs
import structlog
configure_logs("{form}")
def connect(password):
    raise RuntimeError("no luck")
try:
    connect("local-" + "s3cret")
except RuntimeError:
    structlog.get_logger("test").exception("unexpected error")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "RuntimeError: no luck" in done.stderr
    assert "local-s3cret" not in done.stdout + done.stderr


def test_uvicorn_puts_no_line_of_an_access_log_together() -> None:
    program = """
import logging
from app.logs import configure_logs
configure_logs("json")
print([logging.getLogger(name).hasHandlers() for name in ("uvicorn.access", "uvicorn.error")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[False, True]"
