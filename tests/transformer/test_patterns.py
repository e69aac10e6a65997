"""Every pattern with the fused kernel equals a plain softmax in float64.

Inputs are random, and different for each seed.
"""

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import transformer
from transformer import Architecture
from transformer.attention import Attention, CrossAttention, GroupedQueryAttention, SelfAttention
from transformer.patterns import Bidirectional, BlockInputs, Causal, Packed, packed_position_ids

B, T, D, HEADS = 3, 11, 24, 4
SEEDS = range(3)


def padding(left: bool = False) -> Tensor:
    """A different number of real tokens in each row."""
    lengths = torch.randint(1, T, (B, 1))
    mask = torch.arange(T) < lengths
    return mask.flip(1) if left else mask


def documents() -> Tensor:
    """Rows of several documents of random lengths, followed by padding."""
    begins = torch.rand(B, T) < 0.3
    begins[:, 0] = True
    numbers = begins.cumsum(1)
    return torch.where(torch.rand(B, 1) * T > T - torch.arange(T) + 4, 0, numbers)


def square(visible: list) -> Tensor:
    return torch.tensor(visible).view(B, T, T)


def who(rule) -> Tensor:
    """(B, T, T) bool from a rule on (row, query, key), with plain loops."""
    return square([rule(b, i, j) for b in range(B) for i in range(T) for j in range(T)])


# A pattern, its mask, and the same rule written separately.
PATTERNS = {
    "bidirectional": lambda: (Bidirectional(), None, who(lambda b, i, j: True)),
    "causal": lambda: (Causal(), None, who(lambda b, i, j: j <= i)),
    "padded": lambda m=None: (
        Bidirectional(), m := padding(), who(lambda b, i, j: bool(m[b, j])),
    ),
    "causal, padded": lambda m=None: (
        Causal(), m := padding(), who(lambda b, i, j: i == j or (j <= i and bool(m[b, j]))),
    ),
    "causal, padded on the left": lambda m=None: (
        Causal(), m := padding(left=True),
        who(lambda b, i, j: i == j or (j <= i and bool(m[b, j]))),
    ),
    "packed": lambda m=None: (
        Packed(causal=False), m := documents(),
        who(lambda b, i, j: i == j or bool(m[b, j] > 0 and m[b, i] == m[b, j])),
    ),
    "packed, causal": lambda m=None: (
        Packed(causal=True), m := documents(),
        who(lambda b, i, j: i == j or (j < i and bool(m[b, j] > 0 and m[b, i] == m[b, j]))),
    ),
}  # fmt: skip


def reference(attention: Attention, queries: Tensor, others: Tensor, visible: Tensor) -> Tensor:
    """Softmax attention in float64, head by head, with the weights of `attention`."""
    weights = {k: v.double() for k, v in attention.state_dict().items()}
    queries, others = queries.double(), others.double()
    if isinstance(attention, SelfAttention):
        q, k, v = (queries @ weights["qkv.weight"].T + weights["qkv.bias"]).chunk(3, -1)
    else:
        q = queries @ weights["q.weight"].T + weights["q.bias"]
        k, v = (others @ weights["kv.weight"].T + weights["kv.bias"]).chunk(2, -1)
    width = q.shape[-1] // HEADS
    shared = q.shape[-1] // k.shape[-1]
    heads = []
    for head in range(HEADS):
        own = slice(head * width, (head + 1) * width)
        theirs = slice(head // shared * width, (head // shared + 1) * width)
        scores = q[..., own] @ k[..., theirs].mT / width**0.5
        scores = scores.masked_fill(~visible, float("-inf"))
        heads.append(scores.softmax(-1) @ v[..., theirs])
    return torch.cat(heads, -1) @ weights["out.weight"].T + weights["out.bias"]


def assert_equal(ours: Tensor, expected: Tensor) -> None:
    assert ((ours - expected).norm() / expected.norm()).item() < 1e-5


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_self_attention_equals_a_plain_softmax(pattern, seed):
    torch.manual_seed(seed)
    rule, mask, visible = PATTERNS[pattern]()
    x = torch.randn(B, T, D)
    for attention in (
        SelfAttention(D, HEADS, 0.0),
        GroupedQueryAttention(D, HEADS, 2, D // HEADS, 0.0),
    ):
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # raises an error without the fused kernel
            ours = attention(x, BlockInputs(rule(T, mask)))
        assert_equal(ours, reference(attention, x, x, visible))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_cross_attention_equals_a_plain_softmax(padded, seed):
    torch.manual_seed(seed)
    attention = CrossAttention(D, HEADS, 0.0)
    x, memory = torch.randn(B, 5, D), torch.randn(B, T, D)
    mask = padding() if padded else None
    visible = torch.ones(B, 1, T, dtype=torch.bool) if mask is None else mask[:, None]
    context = BlockInputs(memory=memory, memory_mask=Bidirectional()(5, mask))
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        ours = attention(x, context)
    assert_equal(ours, reference(attention, x, memory, visible))


def model(kind=transformer.gpt, **variant):
    return kind(Architecture(2, 4, 16, 32, **variant), 20, T).eval()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_a_causal_output_does_not_move_when_the_future_changes(positions, seed):
    torch.manual_seed(seed)
    gpt, tokens = model(positions=positions), torch.randint(20, (B, T))
    cut = int(torch.randint(1, T, ()))
    changed = tokens.clone()
    changed[:, cut:] = (changed[:, cut:] + 1) % 20
    torch.testing.assert_close(gpt(changed)[:, :cut], gpt(tokens)[:, :cut])


@pytest.mark.parametrize("kind", [transformer.bert, transformer.gpt])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_a_padded_batch_equals_its_unpadded_rows(kind, positions, seed):
    torch.manual_seed(seed)
    built, tokens, mask = model(kind, positions=positions), torch.randint(20, (B, T)), padding()
    padded = built(tokens, mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = built(tokens[row : row + 1, :length])[0]
        torch.testing.assert_close(padded[row, :length], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_permuting_a_bidirectional_input_without_positions_permutes_its_output(seed):
    torch.manual_seed(seed)
    bert, tokens, order = model(transformer.bert), torch.randint(20, (B, T)), torch.randperm(T)
    bert.embedding.positions.weight.zero_()
    torch.testing.assert_close(bert(tokens[:, order]), bert(tokens)[:, order])


@pytest.mark.parametrize("kind", [transformer.bert, transformer.gpt])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@torch.no_grad()
def test_packed_documents_equal_each_alone(kind, positions):
    torch.manual_seed(0)
    built, tokens = model(kind, positions=positions), torch.randint(20, (1, T))
    alone = [built(part) for part in tokens.split([4, 1, 6], dim=1)]
    numbers = torch.tensor([[1] * 4 + [2] + [3] * 6])
    built.pattern = Packed(causal=isinstance(built.pattern, Causal))
    packed = built(tokens, numbers, position_ids=packed_position_ids(numbers))
    torch.testing.assert_close(packed, torch.cat(alone, 1), rtol=1e-4, atol=1e-6)


def test_positions_of_packed_documents_begin_at_zero():
    numbers = torch.tensor([[1, 1, 1, 2, 2, 3], [4, 5, 5, 5, 0, 0]])
    expected = [[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 0, 1]]
    assert packed_position_ids(numbers).tolist() == expected


@pytest.mark.parametrize("pattern", [Bidirectional(), Causal()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_a_mask_of_numbers_is_refused(pattern, dtype):
    """The kernel would add it to the attention scores."""
    with pytest.raises(ValueError, match=r"must be bool.*pass attention_mask.bool\(\)"):
        pattern(3, torch.ones(2, 3, dtype=dtype))


def test_a_packed_batch_needs_its_documents():
    with pytest.raises(ValueError, match="the number of each token's document"):
        Packed(causal=True)(T, None)
