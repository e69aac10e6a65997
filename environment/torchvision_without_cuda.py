"""`import torchvision` beside a CPU build of torch, also for libraries such as timm that import it.

`./run` copies this file into the environment, where Python imports it at every start.

The x86-64 wheels of torchvision on the usual index link CUDA libraries. Without those libraries its
compiled operators do not load. Its Python code is prepared for that, except for the shapes of two
operators, which it registers in any case, and which torch refuses for an operator that it does not
know. So both are declared right before. To call them is still torchvision's own error.
"""

import sys

SHAPES = "torchvision._meta_registrations"  # where torchvision registers them
OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Declaration:
    """A finder that finds no module: it acts when Python looks for the module `SHAPES`."""

    library = None  # what is declared lasts as long as this object

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """None, so that the next finder looks."""
        if name == SHAPES:
            sys.meta_path.remove(cls)
            cls.declare()

    @classmethod
    def declare(cls):
        """Declare the operators unless torchvision has loaded its own."""
        import torch
        from torchvision import extension

        if not extension._has_ops():
            cls.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in OPERATORS:
                cls.library.define(operator + SCHEMA)


sys.meta_path.insert(0, Declaration)
