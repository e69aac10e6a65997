"""The types of params.yaml: a file for each task, with what its section may say.

This package imports no torch, so that errors in params.yaml appear at once. Its files are the one
list of tasks; `pipeline/tasks` and `pipeline/views` have a file of the same name for each.
"""

from importlib import import_module
from pkgutil import iter_modules

from pipeline.parameters.base import ModelSection

SECTIONS: dict[str, type[ModelSection]] = {
    module.name: import_module(f"{__name__}.{module.name}").SECTION
    for module in iter_modules(__path__)
    if module.name != "base"
}
