"""The page that a measurement writes, one for each vendor of processors."""

from pathlib import Path

from pipeline.training.numerics import vendor

NAMES = {"GenuineIntel": "intel", "AuthenticAMD": "amd"}


def page(script: str) -> Path:
    """training.py writes training-intel.md, training-amd.md or training-other.md."""
    path = Path(script)
    return path.with_name(f"{path.stem}-{NAMES.get(vendor(), 'other')}.md")
