"""The one thing that a killed PostgreSQL leaves outside of its data directory."""

import contextlib
import ctypes
from pathlib import Path

_IPC_RMID = 0
_LINE = 6  # of postmaster.pid: "key id" of the System V segment that guards the data directory


def remove_shared_memory(postmaster_pid: Path) -> None:
    """Remove the segment of a server that was killed; one that stopped in good order has removed the file with it."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        segment = int(postmaster_pid.read_text().splitlines()[_LINE].split()[1])
        ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)
