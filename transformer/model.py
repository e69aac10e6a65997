"""One class, encoder and decoder: embed, blocks, norm, head."""

from collections.abc import Iterable

from torch import Tensor, nn

from transformer.attention import AttentionPattern


class Transformer(nn.Module):
    """A stack of blocks between an embedding and a head; `build.py` makes BERT, GPT and ViT of it.

    embedding: input to (B, T, d_model); has a `weight`.
    blocks: each (B, T, d_model) to (B, T, d_model), given the attention pattern.
    norm: after the last block.
    head: (B, T, d_model) to logits.
    pattern: who may look at whom.
    """

    def __init__(
        self,
        embedding: nn.Module,
        blocks: Iterable[nn.Module],
        norm: nn.Module,
        head: nn.Module,
        pattern: AttentionPattern,
    ):
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.head = head
        self.pattern = pattern

    def encode(self, inputs: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Hidden states (B, T, d_model).

        inputs: what the embedding takes: (B, T) tokens or (B, channels, H, W) images.
        attention_mask: (B, T) bool, False at padding; None if nothing is padded.
        """
        x = self.embedding(inputs)
        pattern = self.pattern(x.shape[1], attention_mask)
        for block in self.blocks:
            x = block(x, pattern)
        return self.norm(x)

    def forward(
        self, inputs: Tensor, attention_mask: Tensor | None = None, **head_inputs: Tensor
    ) -> Tensor:
        """Logits, of the shape that the head gives; `head_inputs` are the head's own."""
        return self.head(self.encode(inputs, attention_mask), **head_inputs)
