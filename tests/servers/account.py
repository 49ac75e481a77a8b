"""The account that servers run as: PostgreSQL refuses root, and Redis doesn't need it."""

import os
import pwd
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.servers.errors import NoServerError

_MEMORY = "/dev/shm"  # noqa: S108 - mkdtemp makes the name
_ENOUGH_MEMORY = 256 * 2**20


@dataclass(frozen=True)
class Account:
    """A user of this machine, as `subprocess` wants it."""

    name: str
    uid: int
    gid: int


@cache
def server_account() -> Account | None:
    """An unprivileged account when we are root, None (our own) otherwise."""
    if os.geteuid() != 0:
        return None
    # initdb looks its user up, so a number without an entry in the password database will not do.
    for name in ("nobody", "postgres"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(name, entry.pw_uid, entry.pw_gid)
        if can_run(account, [Path("/bin/true")]):
            return account
    raise NoServerError(
        "PostgreSQL refuses to run as root, and neither `nobody` nor `postgres` can be used here: "
        "run the tests as another user, or set FRESHET_TEST_POSTGRES_URL and FRESHET_TEST_REDIS_URL"
    )


def can_run(account: Account | None, programs: list[Path]) -> bool:
    """Whether `account` can reach and execute each program (tried with --version, which all of ours know)."""
    for program in programs:
        try:
            done = subprocess.run(
                [str(program), "--version"],
                cwd="/",
                env={"LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=False,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        if done.returncode != 0:
            return False
    return True


def make_workspace(name: str, account: Account | None, *, in_memory: bool = False) -> Path:
    """A fresh folder that belongs to `account` alone, where it can be reached and its path is short if possible.

    `in_memory`: on no disk if that can be had, for servers that hold everybody up while the disk is busy.
    """
    parent = _MEMORY if in_memory and _is_usable_memory() else _parent_for(account)
    folder = Path(tempfile.mkdtemp(prefix=f"freshet-{name}-", dir=parent))
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder


def _is_usable_memory() -> bool:
    """Containers often have a small one, and one from which no program may run."""
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return False
    free = found.f_bavail * found.f_frsize
    return os.access(_MEMORY, os.W_OK) and not found.f_flag & os.ST_NOEXEC and free >= _ENOUGH_MEMORY


def _parent_for(account: Account | None) -> str:
    """The usual place for temporary files, or the first one that `account` can get to."""
    usual = tempfile.gettempdir()
    if account is None:
        return usual
    for candidate in (usual, "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - mkdtemp makes the name
        folder = Path(candidate).resolve()
        if folder.is_dir() and all(_open_to(account, part) for part in (folder, *folder.parents)):
            return str(folder)
    msg = f"{account.name} can reach no folder for temporary files; set TMPDIR to one that it can"
    raise NoServerError(msg)


def _open_to(account: Account, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
