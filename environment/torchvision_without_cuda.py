"""Makes `import torchvision` work with a CPU build of torch, also inside libraries such as timm.

`./run` copies this file into the environment, where Python imports it at every start.

The x86-64 wheels of torchvision on the default index link to CUDA libraries. Without these, its
compiled operators do not load. Its Python code handles that, except that it registers shapes for
two operators, which torch rejects for unknown operators. So this file declares both operators just
before. Calling them still raises torchvision's error.
"""

import sys

SHAPES = "torchvision._meta_registrations"  # where torchvision registers them
OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Declaration:
    """An import hook that declares the operators when Python imports the module `SHAPES`."""

    library = None  # keeps the declarations alive

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """Return None, so that Python asks the next finder."""
        if name == SHAPES:
            sys.meta_path.remove(cls)
            cls.declare()

    @classmethod
    def declare(cls):
        """Declare the operators, unless torchvision has loaded them."""
        import torch
        from torchvision import extension

        if not extension._has_ops():
            cls.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in OPERATORS:
                cls.library.define(operator + SCHEMA)


sys.meta_path.insert(0, Declaration)
