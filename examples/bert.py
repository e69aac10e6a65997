"""Trains a BERT to predict hidden bytes of a text: python examples/bert.py [TEXT]"""

import sys
from pathlib import Path

import torch

import transformer

STEPS, BATCH, LENGTH, MASK = 300, 16, 32, 256  # MASK: a token beyond the bytes
text = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "README.md")
data = torch.tensor(list(text.read_bytes()))
torch.manual_seed(0)

architecture = transformer.Architecture(
    n_layer=2, n_head=4, d_model=64, d_mlp=256, positions="rotary", initialization="torch"
)
model = transformer.bert(architecture, vocabulary_size=257, length=LENGTH, tie_embeddings=False)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, STEPS)

for step in range(1, STEPS + 1):
    starts = torch.randint(len(data) - LENGTH + 1, (BATCH, 1))
    tokens = data[starts + torch.arange(LENGTH)]  # (BATCH, LENGTH)
    hidden = torch.rand(tokens.shape) < 0.15
    keep = transformer.TokensAt(hidden.flatten().nonzero()[:, 0])  # the head scores only these
    states = model.encode(tokens.masked_fill(hidden, MASK), keep=keep)
    loss = model.head.loss(states, tokens.flatten()[keep.indices])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step == 1 or step % 100 == 0:
        print(f"step {step}: loss {loss.item():.3f} nats per hidden byte")

tokens = data[None, :LENGTH].clone()
tokens[0, 10] = MASK
best = model.eval()(tokens)[0, 10].argmax().item()
print(f"hidden: {bytes([data[10]])!r}, predicted: {bytes([best])!r}")
