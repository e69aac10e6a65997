"""Ports for the servers of tests."""

import random
import socket
from contextlib import suppress

# Below those that Linux gives to outgoing connections: net.ipv4.ip_local_port_range.
OWN = range(20_000, 32_768)


def free_port() -> int:
    """A port that nothing uses, and that no connection takes before a server listens there."""
    for port in random.SystemRandom().sample(OWN, len(OWN)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")
