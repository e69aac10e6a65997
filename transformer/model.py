"""One class, encoder and decoder: embed, blocks, norm, head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor, nn

from transformer.cache import KeyValueCache
from transformer.patterns import AttentionPattern, Bidirectional, Context


class Transformer(nn.Module):
    """A stack of blocks between an embedding and a head; `build.py` builds BERT, GPT and ViT.

    embedding: input to (B, T, d_model); has a `weight`.
    blocks: each (B, T, d_model) to (B, T, d_model), given the Context of the forward pass.
    norm: after the last block.
    head: (B, T, d_model) to logits.
    pattern: the attention mask: bidirectional, causal or packed.
    encoder: another Transformer, for cross-attention to its output; None without.
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

        inputs: input of the embedding: (B, T) tokens or (B, channels, H, W) images.
        attention_mask: (B, T) bool, False at padding; None without padding.
        position_ids: (T,) or (B, T) positions of the tokens; None counts from zero.
        token_type_ids: (B, T), if the embedding has token types.
        source, source_mask: inputs and attention_mask of the encoder.
        cache: the KV cache of the earlier tokens, to which these are added; it sets positions and
            mask.

        Raises:
            ValueError: a source without an encoder, or an encoder without a source; positions or
                a mask together with a cache.
        """
        if self.encoder is None and (source is not None or source_mask is not None):
            raise ValueError("`source` needs an encoder, which this model does not have")
        if self.encoder is not None and source is None:
            raise ValueError("this model has an encoder: pass its input as `source`")
        if cache is not None:
            if attention_mask is not None or position_ids is not None:
                raise ValueError("with a cache, position_ids and attention_mask must be None")
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
        """Logits; the head determines their shape.

        head_inputs: further arguments of the head, by name.
        encode_inputs: the other arguments of `encode`.
        """
        hidden = self.encode(inputs, attention_mask, **encode_inputs)
        return self.head(hidden, **(head_inputs or {}))
