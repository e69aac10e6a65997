"""The commands `collect` and `page`; see the package."""

import argparse
import sys

from benchmarks.reference_run import MODELS
from pipeline import params
from pipeline.errors import reports_errors


@reports_errors
def main(arguments: list[str]) -> None:
    """Collect the trained models, or write the page from what is collected."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference_run")
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect", help="gather trained and evaluated models")
    collecting.add_argument("models", nargs="*", metavar="model", help="all three by default")
    collecting.add_argument("--commit", help="of the code, on a machine without git")
    commands.add_parser("page", help="write the page and its pictures from what is collected")
    given = parser.parse_args(arguments)
    if given.command == "page":
        from benchmarks.reference_run.page import write

        print(f"written to {write()}")
        return
    if unknown := set(given.models) - set(MODELS):
        parser.error(f"no model {', '.join(sorted(unknown))}; known: {', '.join(MODELS)}")
    from benchmarks.reference_run.collect import collect

    for name in given.models or MODELS:
        collect(params.load(), name, given.commit)
        print(f"{name}: collected")


if __name__ == "__main__":
    main(sys.argv[1:])
