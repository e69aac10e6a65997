"""One class, encoder and decoder: embed, blocks, norm, head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor, nn

from transformer.cache import KeyValueCache
from transformer.patterns import AttentionPattern, Bidirectional, Context


class Transformer(nn.Module):
    """A stack of blocks between an embedding and a head; `build.py` makes BERT, GPT and ViT of it.

    embedding: input to (B, T, d_model); has a `weight`.
    blocks: each (B, T, d_model) to (B, T, d_model), given the Context of the forward pass.
    norm: after the last block.
    head: (B, T, d_model) to logits.
    pattern: who may look at whom.
    encoder: another Transformer, whose output the blocks look at; None without cross-attention.
    """

    def __init__(
        self,
        embedding: nn.Module,
        blocks: Iterable[nn.Module],
        norm: nn.Module,
        head: nn.Module,
        pattern: AttentionPattern,
        encoder: Transformer | None = None,
    ):
        super().__init__()
        self.encoder = encoder
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.head = head
        self.pattern = pattern

    def encode(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Hidden states (B, T, d_model).

        inputs: what the embedding takes: (B, T) tokens or (B, channels, H, W) images.
        attention_mask: (B, T) bool, False at padding; None if nothing is padded.
        position_ids: (T,) or (B, T) positions of the tokens; None counts from zero.
        token_type_ids: (B, T), where the embedding has token types.
        source, source_mask: what the encoder takes as its inputs and attention_mask.
        cache: of the tokens before these, which it is then extended by; it knows their positions
            and whom they see.

        Raises:
            ValueError: a source without an encoder, or an encoder without a source; positions or
                a mask beside a cache.
        """
        if self.encoder is None and (source is not None or source_mask is not None):
            raise ValueError("`source` is what an encoder reads, which this model does not have")
        if self.encoder is not None and source is None:
            raise ValueError("this model has an encoder: give it `source`, what the encoder reads")
        if cache is not None:
            if attention_mask is not None or position_ids is not None:
                raise ValueError("a cache brings its own positions and its own mask")
            position_ids, visible = cache.place(inputs.shape[1])
        given = {"position_ids": position_ids, "token_type_ids": token_type_ids}
        x = self.embedding(inputs, **{key: ids for key, ids in given.items() if ids is not None})
        if cache is None:
            visible = self.pattern(x.shape[1], attention_mask)
        context = Context(visible, position_ids, cache)
        if self.encoder is not None:
            memory = self.encoder.encode(source, source_mask)
            seen = Bidirectional()(memory.shape[1], source_mask)
            context = replace(context, memory=memory, memory_visible=seen)
        for block in self.blocks:
            x = block(x, context)
        return self.norm(x)

    def forward(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        *,
        head_inputs: Mapping[str, Tensor] | None = None,
        **encode_inputs: Tensor,
    ) -> Tensor:
        """Logits, of the shape that the head gives.

        head_inputs: what the head takes beside the hidden states, by name.
        encode_inputs: the other arguments of `encode`.
        """
        hidden = self.encode(inputs, attention_mask, **encode_inputs)
        return self.head(hidden, **(head_inputs or {}))
