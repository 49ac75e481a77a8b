"""An authority and a server certificate for one test server, made by the `openssl` program."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.account import Account
from tests.servers.errors import NoServerError, ServerError

# Everything that a strict verification (Python 3.13's default) looks for.
_CONFIGURATION = """\
[req]
distinguished_name = subject
prompt = no
[subject]
CN = Freshet tests
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:{host}
"""
_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


@dataclass(frozen=True)
class Certificates:
    """PEM files."""

    authority: Path
    """The certificate that a client trusts."""
    certificate: Path
    """The server's, signed by the authority for one IP address."""
    key: Path
    """The server's private key."""


def make_certificates(folder: Path, host: str, account: Account | None = None) -> Certificates:
    """A fresh authority and a certificate for `host`, in a new folder that belongs to `account`."""
    program = shutil.which("openssl")
    if program is None:
        raise NoServerError("no `openssl` on PATH, which makes the certificates of a server with TLS: install it")
    folder.mkdir(mode=0o700)
    (folder / "openssl.cnf").write_text(_CONFIGURATION.format(host=host))
    made = Certificates(folder / "authority.crt", folder / "server.crt", folder / "server.key")
    for arguments in (
        f"req -x509 {_KEY} -days 2 -extensions authority -config openssl.cnf -keyout authority.key -out authority.crt",
        f"req -new {_KEY} -config openssl.cnf -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA authority.crt -CAkey authority.key -set_serial 2 -days 2 "
        "-extfile openssl.cnf -extensions server -out server.crt",
    ):
        done = subprocess.run(
            [program, *arguments.split()], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise ServerError(f"openssl {arguments} failed:\n{done.stderr}")
    (folder / "authority.key").unlink()
    if account:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.uid, account.gid)
    return made
