"""Trains an encoder-decoder to write Roman numerals: python examples/encoder_decoder.py"""

import torch

import transformer

STEPS, BATCH, LENGTH, END = 200, 32, 16, 0  # END begins the decoder's input, ends and pads labels
ONES = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
torch.manual_seed(0)


def roman(digits: list[int]) -> list[int]:
    """The tokens of a numeral, END or 1 to 7 for I, V, X, L, C, D and M, padded to LENGTH."""
    firsts = zip((7, 5, 3, 1), digits, strict=True)
    signs = [first + "IVX".index(one) for first, digit in firsts for one in ONES[digit]]
    return (signs + [END] * LENGTH)[:LENGTH]


digits = torch.tensor([[int(digit) for digit in f"{n:04}"] for n in range(1, 4000)])
numerals = torch.tensor([roman(row) for row in digits.tolist()])
test, train = torch.randperm(len(digits)).split([1, 3998])
architecture = transformer.Architecture(2, 4, d_model=64, d_mlp=128, initialization="torch")
model = transformer.encoder_decoder(architecture, 10, 8, LENGTH, tie_embeddings=False)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

for step in range(1, STEPS + 1):
    chosen = train[torch.randint(len(train), (BATCH,))]
    labels = numerals[chosen]  # (BATCH, LENGTH)
    inputs = labels.roll(1, dims=1)  # the last of a row is END
    keep = transformer.TokensAt((labels + inputs).flatten().nonzero()[:, 0])  # without padding
    states = model.encode(inputs, source=digits[chosen], keep=keep)
    loss = model.head.loss(states, labels.flatten()[keep.indices])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 1 or step % 50 == 0:
        print(f"step {step}: loss {loss.item():.3f} nats per sign")
found = transformer.beam_search(model.eval(), [[END]], 15, LENGTH, 3, 1, [END], digits[test[:1]])
written = "".join("IVXLCDM"[token - 1] for token in found[0][0].tokens if token != END)
print(f"{test[0] + 1}, which it has not seen, is {written}")
