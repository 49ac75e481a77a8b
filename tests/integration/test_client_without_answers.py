"""The Python client and servers that do not answer: nobody is there, they hang up, they say nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.client import Client, NoAnswerError, Retries
from tests.servers.ports import free_port


def test_nobody_listens() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}", retries=Retries(attempts=3, first_delay=0)) as client,
        pytest.raises(NoAnswerError) as caught,
    ):
        client.push("src", [{"user_id": "u1"}], idempotency_key=None)
    assert not caught.value.sent


@contextmanager
def hanging_up(times: int) -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes requests and hangs up without an answer that many times, and then says it is ready."""
    body = b'{"status": "ready", "checks": {}, "registry_age_seconds": null, "feature_views": []}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                connection, _ = listening.accept()
                with connection:
                    heard.append(connection.recv(65536))
                    if heard[-1].startswith(b"GET /end"):
                        return
                    if len(heard) > times:
                        connection.sendall(head % len(body) + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listening.getsockname()
        try:
            yield f"http://{host}:{port}", heard
        finally:
            with socket.create_connection((host, port)) as last:
                last.sendall(b"GET /end")
            thread.join(30)
        assert not thread.is_alive()


def test_a_server_that_hangs_up_is_asked_again_where_that_is_safe() -> None:
    with hanging_up(2) as (url, heard), Client(url, retries=Retries(first_delay=0)) as client:
        assert client.feature_views() == []
        assert len(heard) == 3
    with hanging_up(1) as (url, heard), Client(url, retries=Retries(first_delay=0)) as client:
        with pytest.raises(NoAnswerError) as caught:
            client.push("src", [{"user_id": "u1"}], idempotency_key=None)
        assert caught.value.sent
        assert len(heard) == 1


def test_a_server_that_says_nothing_is_left_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, timeout=0.2, retries=Retries(attempts=1)) as client,
            pytest.raises(NoAnswerError, match="ReadTimeout"),
        ):
            client.ready()
