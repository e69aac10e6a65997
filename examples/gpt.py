"""Trains a GPT on the bytes of a text, and continues it: python examples/gpt.py [TEXT]"""

import sys
from pathlib import Path

import torch

import transformer

STEPS, BATCH, LENGTH = 150, 16, 32
text = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "README.md")
data = torch.tensor(list(text.read_bytes()))
torch.manual_seed(0)

architecture = transformer.Architecture(
    n_layer=2, n_head=4, d_model=64, d_mlp=256, positions="rotary", initialization="torch"
)
model = transformer.gpt(architecture, vocabulary_size=256, length=LENGTH, tie_embeddings=False)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, STEPS)

for step in range(1, STEPS + 1):
    starts = torch.randint(len(data) - LENGTH, (BATCH, 1))
    windows = data[starts + torch.arange(LENGTH + 1)]  # (BATCH, LENGTH + 1)
    loss = model.head.loss(model.encode(windows[:, :-1]), windows[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step == 1 or step % 50 == 0:
        print(f"step {step}: loss {loss.item():.3f} nats per byte")

prompt = data[:32].tolist()
sampling = transformer.Sampling(temperature=0.7)
(written,) = transformer.generate(model.eval(), [prompt], 100, LENGTH, sampling)
print(bytes(prompt + written).decode(errors="replace"))
