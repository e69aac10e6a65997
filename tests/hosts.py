"""Hosts on this machine: each with a network, a name, processes and a /tmp of its own, by the
namespaces of Linux."""

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psutil
import pytest

# Of their own in each of the processes that run tests.
NETWORK = f"10.77.{os.getpid() % 256}"
GATEWAY = f"{NETWORK}.1"  # the address of this machine for its hosts
BRIDGE = f"hosts{os.getpid()}"
LINKS = itertools.count()  # one that ends with its host is there for a moment longer

APART = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
# Keep a folder that hosts share, hide the rest of /tmp, and know the others by name.
BEGIN = """
set -e
hostname "$1"; mount --bind "$2" /mnt; mount -t tmpfs tmpfs /tmp
mkdir -p "$2"; mount --move /mnt "$2"
printf "$3" > /tmp/hosts; mount --bind /tmp/hosts /etc/hosts
ip link set lo up
echo ready; exec sleep infinity
"""


@dataclass(frozen=True)
class Host:
    """A host that runs. first: its first process; if it is killed, so are all others there."""

    name: str
    address: str
    first: int

    def command(self, *words: str) -> list[str]:
        """A command that runs `words` there."""
        enter = ["nsenter", "--target", str(self.first), "--net", "--mount", "--uts", "--pid"]
        return [*enter, "--wd=.", "--", *words]

    def lose_power(self) -> None:
        """End everything on it at once."""
        os.kill(self.first, signal.SIGKILL)

    def cut_off(self) -> None:
        """Take it off the network. Its connections stay open."""
        subprocess.run(self.command("ip", "link", "set", "eth0", "down"), check=True)


@contextmanager
def hosts(shared: Path, *names: str) -> Iterator[list[Host]]:
    """Hosts that reach one another, and this machine at GATEWAY.

    shared: a folder in /tmp that all of them see. Skips a test where hosts cannot be made.
    """
    if os.geteuid() or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        pytest.skip("hosts need root, iproute2 and util-linux")
    addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 2)}
    lines = [
        f"{address} {name}\\n" for name, address in {"localhost": "127.0.0.1", **addresses}.items()
    ]
    # No proxy of this machine leads to them.
    direct = ",".join([GATEWAY, *addresses, *addresses.values()])
    environment = mock.patch.dict(os.environ, {"no_proxy": direct, "NO_PROXY": direct})
    with ExitStack() as stack, environment:
        if subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"]).returncode:
            pytest.skip("networks cannot be made here")
        stack.callback(_ip, "link", "delete", BRIDGE)
        _ip("address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        made = []
        for name, address in addresses.items():
            process = stack.enter_context(subprocess.Popen(
                [*APART, "sh", "-c", BEGIN, "sh", name, str(shared), "".join(lines)],
                stdout=subprocess.PIPE, text=True,
            ))  # fmt: skip
            stack.callback(process.kill)
            assert process.stdout.readline() == "ready\n"
            (first,) = psutil.Process(process.pid).children()
            host = Host(name, address, first.pid)
            link = f"{BRIDGE}-{next(LINKS)}"
            _ip("link", "add", link, "type", "veth", "peer", "eth0", "netns", str(host.first))
            _ip("link", "set", link, "master", BRIDGE, "up")
            subprocess.run(
                host.command("ip", "address", "add", f"{address}/24", "dev", "eth0"), check=True
            )
            subprocess.run(host.command("ip", "link", "set", "eth0", "up"), check=True)
            made.append(host)
        yield made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
