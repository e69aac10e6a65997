"""Clean copies of the repository, in which the commands of a sweep run.

A copy has the commit and the uncommitted changes of the moment when the sweep began, so that files
can be edited while it runs. It shares git's objects and DVC's cache with the repository.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import UserError

OWN = Path("data") / "own"  # a user's own data, which git need not have


@dataclass(frozen=True)
class Snapshot:
    """The state of the working tree.

    head: the commit. tree: a commit with the uncommitted changes; `head` if there are none.
    """

    head: str
    tree: str

    @property
    def refs(self) -> str:
        """The folder of the refs of DVC's experiments on this commit."""
        return f"refs/exps/{self.head[:2]}/{self.head[2:]}"


def git(*arguments: str, folder: Path = Path()) -> str:
    """What a git command prints.

    Raises:
        UserError: it fails.
    """
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def owned(name: str) -> Iterator[Path]:
    """The folder for the copies and logs of a sweep, which no other process uses meanwhile.

    Raises:
        UserError: the name is not one for an experiment, or this sweep is running.
    """
    if "/" in name or subprocess.run(["git", "check-ref-format", f"refs/exps/{name}"]).returncode:
        raise UserError(f"{name!r}: not a name of an experiment, such as `deeper`")
    folder = Path(".dvc") / "tmp" / "sweep" / name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f"{name}.lock"), timeout=0):
            yield folder
    except Timeout:
        raise UserError(f"another process runs the sweep {name}") from None


def snapshot() -> Snapshot:
    """The working tree with the changes of all files that git knows, as `dvc exp run` takes them.

    Raises:
        UserError: not a repository with a commit, or git does not know who commits.
    """
    head = git("rev-parse", "HEAD")
    git("var", "GIT_COMMITTER_IDENT")  # DVC needs it too
    # Otherwise `git stash create` may fail where files have only other times, as after a copy.
    subprocess.run(["git", "update-index", "-q", "--refresh"], stdout=subprocess.DEVNULL)
    return Snapshot(head, git("stash", "create") or head)


def copy(taken: Snapshot, folder: Path) -> None:
    """Write a copy to `folder`, which does not exist."""
    from dvc.config import Config

    who = re.match("(.*) <(.*)>", git("var", "GIT_COMMITTER_IDENT"))
    assert who
    git("clone", "--quiet", "--shared", "--no-checkout", "-c", f"user.name={who[1]}",
        "-c", f"user.email={who[2]}", str(Path.cwd()), str(folder))  # fmt: skip
    git("checkout", "--quiet", "--detach", taken.head, folder=folder)
    git("restore", f"--source={taken.tree}", "--staged", "--worktree", ".", folder=folder)
    if OWN.is_dir():
        shutil.copytree(OWN, folder / OWN, copy_function=_link, dirs_exist_ok=True)
    ours = Config(os.path.abspath(".dvc"))
    with Config(str(folder / ".dvc"), validate=False).edit("local", validate=False) as local:
        local.update(ours.read("local"))
        local["remote"] = dict(ours["remote"])  # a relative path has another meaning in the copy
        local["cache"]["dir"] = ours["cache"].get("dir") or os.path.abspath(".dvc/cache")


def _link(source: str, target: str) -> None:
    """A link, because data may be large; git has written some of the files."""
    if not os.path.exists(target):
        os.link(source, target)


def fetch(folder: Path, taken: Snapshot, experiment: str) -> str | None:
    """Take over an experiment from a copy; returns its commit.

    None if it changed nothing, for which DVC makes no experiment.
    """
    ref = f"{taken.refs}/{experiment}"
    if not git("for-each-ref", ref, folder=folder):
        return None
    git("fetch", "--quiet", str(folder), f"+{ref}:{ref}")
    return git("rev-parse", ref)
