"""The lock of a worker's imports."""

from __future__ import annotations

import threading

IMPORTS = threading.Lock()
"""Held while Feast is imported: its modules import each other in circles, and of two threads that enter such a circle
from different sides one meets half a module."""
