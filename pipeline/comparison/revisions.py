"""The revisions to compare, and their files: commits, experiments of DVC, or the workspace."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError

WORKSPACE = "workspace"  # as in `dvc exp show`
HEAD = "HEAD"
EXPERIMENTS = "refs/exps"  # followed by the commit that an experiment starts from, and its name


@dataclass(frozen=True)
class Revision:
    """A commit, or the workspace.

    name: as the user calls it. commit: its hash; None for the workspace.
    """

    name: str
    commit: str | None

    def read(self, file: Path) -> str | None:
        """A file that git tracks; None if it is missing."""
        content = self.read_bytes(file)
        return None if content is None else content.decode("utf-8")

    def read_bytes(self, file: Path) -> bytes | None:
        """The same as bytes."""
        if self.commit is None:
            return file.read_bytes() if file.is_file() else None
        shown = subprocess.run(["git", "show", f"{self.commit}:./{file}"], capture_output=True)
        return shown.stdout if shown.returncode == 0 else None


def find(names: tuple[str, ...]) -> list[Revision]:
    """The revisions to compare, the first of which the others are compared with: HEAD and all its
    experiments without names, HEAD and the one that is named, or those that are named.

    Raises:
        UserError: a name is unknown or ambiguous, or there is nothing to compare.
    """
    if not names:
        head = resolve(HEAD)
        found = [head, *experiments(head)]
        if len(found) == 1:
            raise UserError(
                "HEAD has no experiments to compare: run one, such as `dvc exp run -S "
                "model.n_layer=6`, or name experiments, branches, tags or commits"
            )
        return found
    wanted = dict.fromkeys(names if len(names) > 1 else (HEAD, *names))
    if len(wanted) == 1:
        raise UserError(f"nothing to compare {names[0]} with: name another revision")
    return [resolve(name) for name in wanted]


def resolve(name: str) -> Revision:
    """The revision with a name: `workspace`, what git knows, or an experiment. Of experiments with
    the same name, that of HEAD.

    Raises:
        UserError: there is none, or several.
    """
    if name == WORKSPACE:
        return Revision(name, None)
    if commit := _commit(name):
        return Revision(name, commit)
    found = [each for each in _references(f"{EXPERIMENTS}/*/*/*") if Path(each[0]).name == name]
    of_head = [each for each in found if each[0] == f"{_folder(_commit(HEAD) or '')}/{name}"]
    found = of_head or found
    if not found:
        raise UserError(
            f"{name!r} is no experiment, branch, tag or commit; `dvc exp list --all-commits` lists "
            "experiments"
        )
    if len(found) > 1:
        commits = ", ".join(commit[:7] for _, commit in found)
        raise UserError(f"{len(found)} experiments are called {name}: name a commit: {commits}")
    return Revision(name, found[0][1])


def experiments(revision: Revision) -> list[Revision]:
    """The experiments of DVC that start from a commit, the oldest first."""
    folder = _folder(revision.commit or "")
    found = _references(f"{folder}/*")
    return [Revision(name.removeprefix(f"{folder}/"), commit) for name, commit in found]


def changed_code(first: Revision, other: Revision, folders: tuple[str, ...]) -> list[str]:
    """The files in `folders` that differ between two revisions."""
    if first.commit is None:
        first, other = other, first
    commits = [each.commit for each in (first, other) if each.commit]
    command = ["git", "diff", "--name-only", "--relative", *commits, "--", *folders]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def _folder(commit: str) -> str:
    """The folder of git's references in which DVC keeps the experiments of a commit."""
    return f"{EXPERIMENTS}/{commit[:2]}/{commit[2:]}"


def _commit(name: str) -> str | None:
    """The hash of a commit that git knows by this name."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def _references(pattern: str) -> list[tuple[str, str]]:
    """Names and commits of git's references, the oldest first."""
    command = ["git", "for-each-ref", "--sort=committerdate", "--format=%(refname) %(objectname)"]
    listed = subprocess.run([*command, pattern], capture_output=True, text=True)
    return [(name, commit) for name, commit in map(str.split, listed.stdout.splitlines())]
