"""What can go wrong with a server of the tests."""


class ServerError(Exception):
    """A server did not start, answer or stop; the message carries the tail of its log."""


class PortTakenError(ServerError):
    """Somebody else listens on the port that was chosen: choose another one."""


class NoServerError(ServerError):
    """No server can be had on this machine; the message says what was looked for and what would help."""
