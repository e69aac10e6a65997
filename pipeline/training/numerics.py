"""Which kernels compute on the CPU: `numerics` in params.yaml.

fast: those that PyTorch chooses for the processor; on an AMD with AVX-512 faster ones, see fast.py.
Another processor gives other last digits. Both draw dropout's masks by bernoulli.py.

portable: the same bits on every x86-64 processor with AVX2, of any vendor. Its parts:

- MKL's products in strict reproducible mode ("Obtaining Numerically Reproducible Results" in
  Intel's guide to oneMKL), with AVX-512 on an Intel that has it and AVX2 on all others. The bits of
  some shapes still differ: small dimensions are filled up with zeros, long inner ones are divided
  into blocks of one size.
- oneDNN's products, where they have the same bits sooner: wide ones, and with AVX-512 on an AMD
  whose units are as wide.
- Attention and convolutions as such products, since torch's fused kernel of attention for CPUs has
  products of its own, and oneDNN's convolutions sum in the order that suits the instructions.
- Torch's own vector code, with AVX2 everywhere.
- exp, log and sqrt from others of torch's functions, because MKL's differ between vendors; GELU
  by torch, because oneDNN's depends on the instructions (that of its gradient does not).

The environment chooses kernels of torch, MKL and oneDNN; portable.py has those of our own, and
kernels.py puts them in place.

Not portable are products of float64 and bfloat16, compiled code, convolutions other than those of
images in one group, nn.LSTM and its kind, and MKL's erf, erfc, erfinv, tan, tanh, log2, log10 and
inverse trigonometric functions; nothing here needs them, and GELU does not.

This module imports torch only where it has been loaded, since `choose` must come before it.
"""

import getpass
import os
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from pipeline.errors import UserError
from pipeline.parameters.base import Training

Numerics = Literal["portable", "fast"]


def cpuinfo(key: str) -> str:
    """What Linux says of the first processor, or nothing."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return ""
    with file.open() as lines:  # long, where there are many processors
        found = (re.match(rf"{key}\s*: (.+)", line) for line in lines)
        return next((match[1] for match in found if match), "")


def vendor() -> str:
    """The processor's: GenuineIntel, AuthenticAMD, another, or nothing where it is not known."""
    return cpuinfo("vendor_id")


def kernels_of_products() -> dict[str, str]:
    """The environment for MKL's and oneDNN's products of portable numerics, which have the same
    bits each. It can ask for AVX2, as it must on an emulated processor, since Linux describes the
    real one."""
    needed = {f"avx512{part}" for part in ("f", "cd", "bw", "dq", "vl")}
    asked = all(os.environ.get(key) == value for key, value in AVX2.items())
    if asked or not needed <= set(cpuinfo("flags").split()):
        return AVX2
    if vendor() == "GenuineIntel":
        return AVX512_OF_MKL
    return AVX512_OF_ONEDNN if has_wide_units() else AVX2


def has_wide_units() -> bool:
    """Whether this is an AMD that computes 512 bits at once, as from Zen 5 on. (Zen 4 has AVX-512,
    but takes two turns.)"""
    family = cpuinfo("cpu family")
    return vendor() == "AuthenticAMD" and family.isdigit() and int(family) >= ZEN_5


ZEN_5 = 26  # its family
MKL, ONEDNN = "MKL_CBWR", "ONEDNN_MAX_CPU_ISA"
AVX2 = {MKL: "AVX2,STRICT", ONEDNN: "AVX2"}
AVX512_OF_MKL = AVX2 | {MKL: "AVX512,STRICT"}
AVX512_OF_ONEDNN = AVX2 | {ONEDNN: "AVX512_CORE"}
PRODUCTS = kernels_of_products()
# Read by MKL, oneDNN and torch, once.
PORTABLE = {**PRODUCTS, "ATEN_CPU_CAPABILITY": "avx2"}
_LATE = (
    "params.yaml: numerics: portable must be chosen before torch is loaded: call "
    "`pipeline.training.numerics.choose` before other imports, or set "
    + " ".join(f"{key}={value}" for key, value in PORTABLE.items())
)
COMPILED = "TORCHINDUCTOR_CACHE_DIR"  # torch's folder of compiled code
_before_torch = False  # whether `choose` has set the environment


def choose(numerics: Numerics) -> None:
    """Set the environment for `numerics`. Torch must not be loaded yet.

    Raises:
        UserError: it is.
    """
    global _before_torch
    if numerics == "fast" or (_chosen() and (_before_torch or _inherited())):
        return
    if "torch" in sys.modules:
        raise UserError(_LATE)
    _before_torch = True
    os.environ.update(PORTABLE)
    # Torch finds compiled code again without asking for which instructions it was compiled; that of
    # fast numerics computes garbage here.
    cache = os.environ.get(COMPILED) or f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}"
    os.environ[COMPILED] = f"{cache}-portable"


def use(numerics: Numerics) -> None:
    """Compute with the kernels of `numerics` from now on, in this process.

    Raises:
        UserError: portable numerics were not chosen in time, or this processor has none.
    """
    import torch

    if numerics == "portable":
        choose(numerics)
        # The capability that torch names is only the one that `choose` asked for.
        has_libraries = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
        if not (torch.cpu._is_avx2_supported() and has_libraries):
            raise UserError(
                "params.yaml: numerics: portable needs an x86-64 processor with AVX2, and a torch "
                "with MKL and oneDNN; take fast"
            )
        if torch.backends.cpu.get_cpu_capability() != "AVX2":  # it was asked too late
            raise UserError(_LATE)
        if PRODUCTS != AVX2 and not torch.cpu._is_avx512_supported():
            wanted = " ".join(f"{key}={value}" for key, value in AVX2.items())
            raise UserError(
                f"this emulated processor has no AVX-512: set {wanted} in the environment"
            )
    replace_kernels(numerics)


@cache
def replace_kernels(numerics: Numerics) -> None:
    """Replace torch's kernels by those of `numerics`."""
    import torch

    from pipeline.training import bernoulli, fast, kernels, portable

    kernels.replace(bernoulli.kernels())
    if numerics == "portable":
        kernels.replace(portable.kernels())
    # Not where the environment keeps to AVX2.
    elif vendor() == "AuthenticAMD" and torch.backends.cpu.get_cpu_capability() == "AVX512":
        kernels.replace(fast.kernels())


def same_everywhere(numerics: Numerics, training: Training) -> bool:
    """Whether all processors with AVX2 compute the same bits of a training."""
    return numerics == "portable" and training.precision == "fp32" and not training.compile


def _chosen() -> bool:
    return all(os.environ.get(key) == value for key, value in PORTABLE.items())


def _inherited() -> bool:
    """Whether this process began with the environment of portable numerics."""
    began = Path("/proc/self/environ").read_bytes().split(b"\0")
    return all(f"{key}={value}".encode() in began for key, value in PORTABLE.items())
