"""Trains a ViT to tell the direction of stripes in noise: python examples/vit.py"""

import math

import torch

import transformer

STEPS, BATCH, SIZE, DIRECTIONS = 80, 32, 16, 4
torch.manual_seed(0)


def stripes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, 1, SIZE, SIZE) and the numbers of their directions (count,)."""
    labels = torch.randint(DIRECTIONS, (count,))
    angle = labels.view(-1, 1, 1, 1) * math.pi / DIRECTIONS
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    phase = 2 * math.pi * torch.rand(count, 1, 1, 1)
    waves = torch.sin((x * angle.cos() + y * angle.sin()) * 0.8 + phase)
    return waves + torch.randn_like(waves), labels


architecture = transformer.Architecture(n_layer=2, n_head=4, d_model=64, d_mlp=128)
model = transformer.vit(architecture, SIZE, patch_size=4, channels=1, classes=DIRECTIONS)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

for step in range(1, STEPS + 1):
    images, labels = stripes(BATCH)
    loss = model.head.loss(model.encode(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 1 or step % 40 == 0:
        print(f"step {step}: loss {loss.item():.3f} nats")

images, labels = stripes(500)
accuracy = (model.eval()(images).argmax(1) == labels).float().mean()
print(f"accuracy on new images: {accuracy:.3f}")
