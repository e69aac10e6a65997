"""One class, encoder and decoder: embed, blocks, norm, head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from transformer.cache import KeyValueCache
from transformer.patterns import AttentionPattern, Bidirectional, BlockInputs, MaskArguments
from transformer.selection import EVERY, Selection


class Transformer(nn.Module):
    """A stack of blocks between an embedding and a head; `build.py` builds BERT, GPT, ViT and an
    encoder-decoder.

    embedding: input to (B, T, d_model); has a `weight`.
    blocks: each (B, T, d_model) to (B, T, d_model), given the BlockInputs of the forward pass; the
        last one is also told which tokens to keep.
    norm: after the last block.
    head: (B, T, d_model) to logits; may have `keep`, the tokens that it reads, if not all.
    pattern: the attention mask: bidirectional, causal or packed.
    encoder: another Transformer, for cross-attention to its output; None without.

    config: the function of `build.py` and the arguments that built this model (see `saving.py`);
        None for other models.
    """

    # Modules of any class that have what is said above.
    embedding: Any
    blocks: Any
    head: Any

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
        self.config: dict[str, Any] | None = None

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
        keep: Selection = EVERY,
    ) -> Tensor:
        """Hidden states (B, T, d_model); or those of the tokens to `keep`, such as (N, d_model).

        inputs: input of the embedding: (B, T) tokens or (B, channels, H, W) images.
        attention_mask: (B, T) bool, False at padding; None without padding.
        position_ids: (T,) or (B, T) positions of the tokens; None counts from zero.
        token_type_ids: (B, T), if the embedding has token types.
        source, source_mask: inputs and attention_mask of the encoder; with a cache, of the first
            tokens only.
        cache: the KV cache of the earlier tokens, to which these are added; it sets positions and
            mask.
        keep: which hidden states are needed, such as TokensAt(indices): fewer cost less.

        Raises:
            ValueError: a source without an encoder or an encoder without a source, also one that
                the cache has already, or one of other rows; positions or a mask together with a
                cache.
        """
        if cache is not None:
            if attention_mask is not None or position_ids is not None:
                raise ValueError("with a cache, position_ids and attention_mask must be None")
            position_ids, mask = cache.positions_and_mask(inputs.shape[1], self.pattern)
        given = {"position_ids": position_ids, "token_type_ids": token_type_ids}
        x = self.embedding(inputs, **{key: ids for key, ids in given.items() if ids is not None})
        if cache is None:
            mask = self.pattern(x.shape[1], attention_mask)
        memory, memory_mask = self._memory(source, source_mask, cache)
        if memory is not None and len(memory) != len(x):
            raise ValueError(f"`source` has {len(memory)} rows and the inputs {len(x)}")
        shared = BlockInputs(mask, position_ids, cache, memory, memory_mask)
        if not self.blocks:
            return self.norm(keep(x))
        *others, last = self.blocks
        for block in others:
            x = block(x, shared)
        return self.norm(last(x, shared, keep))

    def _memory(
        self, source: Tensor | None, source_mask: Tensor | None, cache: KeyValueCache | None
    ) -> tuple[Tensor | None, MaskArguments]:
        """The encoder's output (B, S, d_model), or None if the cache has it or there is no encoder;
        and its mask."""
        if self.encoder is None:
            if source is not None or source_mask is not None:
                raise ValueError("`source` needs an encoder, which this model does not have")
            return None, {}
        if cache is not None and cache.memory:
            if source is not None or source_mask is not None:
                raise ValueError(
                    "the cache has the encoder's output already: pass `source` with "
                    "the first tokens only"
                )
            return None, cache.memory_mask
        if source is None:
            raise ValueError("this model has an encoder: pass its input as `source`")
        memory = self.encoder.encode(source, source_mask)
        mask = Bidirectional()(memory.shape[1], source_mask)
        if cache is not None:
            cache.memory_mask = mask
        return memory, mask

    def forward(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        *,
        keep: Selection | None = None,
        **encode_inputs: Any,
    ) -> Tensor:
        """Logits; the head determines their shape.

        keep: for a head of tokens, those whose logits are needed; None for all that a head reads.
        encode_inputs: the other arguments of `encode`.
        """
        kept = getattr(self.head, "keep", EVERY) if keep is None else keep
        return self.head(self.encode(inputs, attention_mask, keep=kept, **encode_inputs))
