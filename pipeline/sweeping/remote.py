"""The DVC remote that carries the results of a sweep on a cluster."""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UserError, first_line, print_error

WAIT = 10  # seconds between two looks for a remote that does not answer


class Remote:
    """The repository's default remote.

    config: of DVC, for a node.

    Raises:
        UserError: there is none, it does not answer, or it keeps no run cache.
    """

    def __init__(self) -> None:
        self.config = node_config()
        self._waits_until = 0.0
        self._known = ""  # a folder in it, which says whether a drive is still mounted
        if problem := self._problem():
            raise UserError(f"the DVC remote does not answer: {problem}")

    def answers(self) -> bool:
        """Whether it answers; says once that it does not, and looks again only after some time."""
        if time.monotonic() < self._waits_until:
            return False
        problem = self._problem()
        if problem and not self._waits_until:
            print_error(f"the DVC remote does not answer, and is waited for: {problem}", "warning")
        self._waits_until = time.monotonic() + WAIT if problem else 0.0
        return not problem

    def _problem(self) -> str:
        """Why it cannot be used at the moment; empty if it can."""
        from dvc.repo import Repo

        try:
            with Repo() as repo:
                remote = repo.cloud.get_remote()
                remote.fs.fs.invalidate_cache()
                known = self._known or _first_folder(remote.fs, remote.path)
                if not known or not remote.fs.exists(known):
                    return f"{remote.path} is missing"
                self._known = known
                return ""
        except Exception as error:  # each kind of remote has its own
            return first_line(error)


def _first_folder(system: Any, path: str) -> str:
    """What exists of a remote; before the first upload, that is what it lies in."""
    inside = system.join(path, "files")
    above = [system.parent(path)]
    if system.protocol != "local":  # whose root exists always
        while (parent := system.parent(above[-1])) not in ("", above[-1]):
            above.append(parent)
    return next(filter(system.exists, (inside, path, *above)), "")


def node_config() -> str:
    """The config of DVC for a node: the default remote, and those that it lies in, with secrets.

    Raises:
        UserError: there is no default remote, or it keeps no run cache.
    """
    from dvc.config import Config

    here = Config(os.path.abspath(".dvc"))
    name = here["core"].get("remote")
    if not name:
        raise UserError(
            "a cluster needs a DVC remote, which carries the results: "
            "`dvc remote add --default NAME URL`"
        )
    remotes = {}
    while name in here["remote"]:  # remote://base/folder lies in another one
        remotes[name] = here["remote"][name]
        url = urlsplit(remotes[name]["url"])
        if url.scheme in ("http", "https"):
            raise UserError(
                f"the DVC remote {name} is on HTTP, where DVC keeps no run cache, by which a "
                "cluster's results are found: take another kind, such as S3 or SSH"
            )
        name = url.netloc if url.scheme == "remote" else ""
    with tempfile.TemporaryDirectory() as folder:
        written = Config.init(folder)
        with written.edit() as content:
            content["core"]["remote"] = next(iter(remotes))
            content["remote"] = remotes
        return Path(folder, Config.CONFIG).read_text("utf-8")


if __name__ == "__main__":
    try:
        Remote()
    except UserError as error:
        sys.exit(f"{error}")
