"""Convert components of other libraries' models to ours; an unsupported one raises an error.

where: the path of the component in their model, for error messages.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from transformer.attention import SelfAttention
from transformer.weights.links import Link

TIMM = "timm.layers"
LAYER_NORMS = {
    "torch.nn.modules.normalization.LayerNorm",
    f"{TIMM}.norm.LayerNorm",
    f"{TIMM}.norm.LayerNormFp32",
}
RMS_NORMS = {
    "torch.nn.modules.normalization.RMSNorm",
    f"{TIMM}.norm.RmsNorm",
    f"{TIMM}.norm.RmsNormFp32",
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "torch.nn.modules.activation.ReLU": nn.ReLU,
    "torch.nn.modules.activation.SiLU": nn.SiLU,
    f"{TIMM}.activations.GELU": nn.GELU,
    f"{TIMM}.activations.GELUTanh": lambda: nn.GELU("tanh"),
}
FUNCTIONS = {F.relu: nn.ReLU, torch.relu: nn.ReLU, F.gelu: nn.GELU, F.silu: nn.SiLU}


def refuse(where: str, what: str) -> ValueError:
    """The error for something that is not supported."""
    return ValueError(f"{where}: {what} is not supported")


def require(ok: bool, where: str, what: str) -> None:
    """Raise the error about `what` unless `ok`.

    Raises:
        ValueError: not `ok`.
    """
    if not ok:
        raise refuse(where, what)


def path(module: object) -> str:
    """Full name of the class of `module`: a check that does not import its library."""
    return f"{type(module).__module__}.{type(module).__name__}"


def require_class(model: object, wanted: str) -> None:
    """Require a model of exactly the class `wanted`; a subclass may compute something else.

    Raises:
        ValueError: the model is of another class.
    """
    if path(model) != wanted:
        raise ValueError(f"expected a {wanted}, not a {path(model)}")


def exactly(module: object, wanted: type, where: str) -> None:
    """Require a component of exactly the class `wanted`.

    Raises:
        ValueError: it is of another class.
    """
    named(module, where, f"{wanted.__module__}.{wanted.__name__}")


def named(module: object, where: str, *wanted: str) -> None:
    """Like `exactly`, with one or more full names of classes, so that no import is needed.

    Raises:
        ValueError: it is of another class.
    """
    right, found = wanted[0].rpartition(".")[2], type(module).__name__
    found = path(module) if found == right else found
    require(path(module) in wanted, where, f"{found} in place of {right}")


def unmodified(model: nn.Module, harmless: tuple[str, ...] = ()) -> None:
    """Require that no module has a replaced forward method or a forward hook.

    harmless: prefixes of module names whose hooks change no output.

    Raises:
        ValueError: a module has one.
    """
    for name, module in model.named_modules():
        forward = vars(module).get("forward")
        kept = forward is None or getattr(forward, "__func__", None) is type(module).forward
        require(kept, name or "the model", "a replaced forward method")
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        allowed = all(getattr(hook, "__module__", "").startswith(harmless) for hook in hooks)
        require(allowed, name or "the model", "a forward hook")


def without_gradient_hooks(model: nn.Module) -> None:
    """Require that no module and no parameter has a hook on its gradients.

    Raises:
        ValueError: one has.
    """
    for name, module in model.named_modules():
        hooks = (*module._backward_pre_hooks, *module._backward_hooks)
        require(not hooks, name or "the model", "a backward hook")
    for name, parameter in model.named_parameters():
        hooked = parameter._backward_hooks or parameter._post_accumulate_grad_hooks
        require(not hooked, name, "a gradient hook")


def linear(theirs: Any, where: str) -> nn.Linear:
    """A linear layer, with or without a bias.

    Raises:
        ValueError: it is of another class.
    """
    exactly(theirs, nn.Linear, where)
    return theirs


def patches(theirs: Any, where: str) -> nn.Conv2d:
    """The projection of patches that do not overlap.

    Raises:
        ValueError: it is any other convolution.
    """
    exactly(theirs, nn.Conv2d, where)
    require(theirs.stride == theirs.kernel_size, where, "a stride other than the patch size")
    require(theirs.padding in ("valid", (0, 0)), where, f"a padding of {theirs.padding}")
    require(theirs.dilation == (1, 1), where, f"a dilation of {theirs.dilation}")
    require(theirs.groups == 1, where, f"a convolution in {theirs.groups} groups")
    return theirs


def is_nothing(theirs: object) -> bool:
    """Whether it is torch's Identity, not a subclass."""
    return type(theirs) is nn.Identity


def norm(theirs: Any, where: str) -> nn.Module:
    """LayerNorm or RMSNorm of the same width and eps, with or without a bias; or Identity.

    Raises:
        ValueError: it is another norm.
    """
    if theirs is None or is_nothing(theirs):
        return nn.Identity()
    affine = getattr(theirs, "weight", None) is not None
    if path(theirs) in LAYER_NORMS:
        bias = theirs.bias is not None
        return nn.LayerNorm(theirs.normalized_shape, theirs.eps, affine, bias)
    if path(theirs) in RMS_NORMS:
        return nn.RMSNorm(tuple(theirs.normalized_shape), theirs.eps, affine)
    raise refuse(where, f"the norm {type(theirs).__name__}")


def activation(theirs: Any, where: str, dropout: float = 0.0) -> nn.Module:
    """The same activation, followed by dropout (some MLPs have it there).

    Raises:
        ValueError: it is not supported.
    """
    if type(theirs) is nn.GELU:
        ours: nn.Module = nn.GELU(theirs.approximate)
    elif theirs in FUNCTIONS:
        ours = FUNCTIONS[theirs]()
    elif path(theirs) in ACTIVATIONS:
        ours = ACTIVATIONS[path(theirs)]()
    else:
        name = getattr(theirs, "__name__", type(theirs).__name__)
        raise refuse(where, f"the activation {name}")
    return nn.Sequential(ours, nn.Dropout(dropout)) if dropout else ours


def dropout(theirs: Any, where: str) -> float:
    """The probability; 0 for Identity, which some tools for inference put in its place.

    Raises:
        ValueError: it is of another class.
    """
    if is_nothing(theirs):
        return 0.0
    exactly(theirs, nn.Dropout, where)
    return theirs.p


def residual_dropout(block: nn.Module, names: tuple[str, ...], where: str) -> float:
    """The dropout probability of a block's residual branches; names: paths of their dropouts.

    Raises:
        ValueError: the probabilities differ, or one is not a Dropout.
    """
    found = [dropout(block.get_submodule(name), f"{where}.{name}") for name in names]
    require(len(set(found)) == 1, where, f"different dropout {found} in its branches")
    return found[0]


def classifier(theirs: Any, where: str) -> nn.Linear:
    """A linear layer with a bias.

    Raises:
        ValueError: it is of another class or has no bias.
    """
    require(linear(theirs, where).bias is not None, where, "a classifier without a bias")
    return theirs


def plain(theirs: nn.MultiheadAttention, where: str) -> None:
    """Require torch's MultiheadAttention without its rarer options.

    Raises:
        ValueError: it is of another class or uses one of these options.
    """
    exactly(theirs, nn.MultiheadAttention, where)
    exactly(theirs.out_proj, NonDynamicallyQuantizableLinear, f"{where}.out_proj")
    require(theirs._qkv_same_embed_dim, where, "kdim or vdim other than the width")
    require(theirs.bias_k is None, where, "add_bias_kv")
    require(not theirs.add_zero_attn, where, "add_zero_attn")


def self_attention(theirs: nn.MultiheadAttention, where: str) -> SelfAttention:
    """Our SelfAttention for torch's MultiheadAttention."""
    plain(theirs, where)
    bias = theirs.in_proj_bias is not None
    return SelfAttention(
        theirs.embed_dim, theirs.num_heads, theirs.dropout, bias=bias, out_bias=bias
    )


def self_attention_links(ours: str, theirs: str) -> list[Link]:
    """Links to the parameters of MultiheadAttention, under the names that `tensors` gives."""
    return [Link(f"{ours}.qkv", f"{theirs}.in_proj"), Link(f"{ours}.out", f"{theirs}.out_proj")]


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model; in_proj_weight and in_proj_bias become in_proj.weight and
    in_proj.bias.

    Raises:
        ValueError: two modules share a parameter; ours would have two.
    """
    names: dict[nn.Parameter, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first = names.setdefault(parameter, name)
        require(first == name, name, f"a parameter shared with {first}")
    return {_spelled(name): tensor for name, tensor in model.state_dict().items()}


def frozen(model: nn.Module) -> set[str]:
    """The names that `tensors` gives to parameters with `requires_grad=False`."""
    parameters = model.named_parameters()
    return {_spelled(name) for name, parameter in parameters if not parameter.requires_grad}


def _spelled(name: str) -> str:
    return name.replace("in_proj_", "in_proj.")
