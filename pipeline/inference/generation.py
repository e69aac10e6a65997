"""Reads generation_config.json of a Hugging Face folder.

The length of the text is not read from it: the command has --tokens.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import as_user_errors
from pipeline.paths import CONFIG
from transformer.generation import Sampling
from transformer.weights.huggingface.settings import Settings

FILE = "generation_config.json"
DEFAULT_SAMPLING = Sampling(temperature=0.8)
# Unsupported features, with the values that switch them off; null does, too.
SWITCHED_OFF: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        (
            "dola_layers", "exponential_decay_length_penalty", "forced_bos_token_id",
            "forced_eos_token_id", "max_time", "top_h", "watermarking_config",
        ),
        (),
    ),
    **dict.fromkeys(
        (
            "bad_words_ids", "begin_suppress_tokens", "constraints", "diversity_penalty",
            "encoder_no_repeat_ngram_size", "epsilon_cutoff", "eta_cutoff", "force_words_ids",
            "forced_decoder_ids", "min_length", "min_new_tokens", "min_p", "no_repeat_ngram_size",
            "penalty_alpha", "sequence_bias", "stop_strings", "suppress_tokens", "token_healing",
            "use_mtp",
        ),
        ([], 0, False),
    ),
    **dict.fromkeys(
        (
            "encoder_repetition_penalty", "guidance_scale", "num_beam_groups", "num_beams",
            "num_return_sequences", "repetition_penalty", "typical_p",
        ),
        (1,),
    ),
}  # fmt: skip
# Keys that do not change the tokens: speed, memory, further outputs, and beam search only.
WITHOUT_EFFECT = {
    "_from_model_config", "assistant_confidence_threshold", "assistant_early_exit",
    "assistant_ensemble_weight", "assistant_lookbehind", "bos_token_id", "cache_config",
    "cache_implementation", "compile_config", "continuous_batching_config",
    "decoder_start_token_id", "disable_compile", "early_stopping", "is_assistant",
    "length_penalty", "low_memory", "max_cache_len", "max_length", "max_matching_ngram_size",
    "max_new_tokens", "num_assistant_tokens", "num_assistant_tokens_schedule",
    "output_attentions", "output_hidden_states", "output_logits", "output_scores",
    "pad_token_id", "prefill_chunk_size", "prompt_lookup_num_tokens", "remove_invalid_values",
    "renormalize_logits", "return_dict_in_generate", "speculation_type", "target_lookbehind",
    "transformers_version", "use_cache",
}  # fmt: skip


@dataclass(frozen=True)
class Generation:
    """Generation settings of a model; the user may override them.

    stop: tokens that end a text.
    """

    sampling: Sampling = DEFAULT_SAMPLING
    stop: tuple[int, ...] = ()


DEFAULTS = Generation()


@as_user_errors()
def read_generation(folder: Path) -> Generation:
    """Read the file; without it, read config.json, where older versions kept these keys.

    Raises:
        UserError: a key is not supported.
    """
    settings, config = Settings(folder / FILE), Settings(folder / CONFIG)
    whole = settings.path.is_file()
    settings = settings if whole else config
    for key, values in SWITCHED_OFF.items():
        settings.expect(key, *values)
    sampling = _sampling(settings)
    stop = _stop(settings if "eos_token_id" in settings.values else config)
    settings.take("eos_token_id")
    if whole:
        settings.finish(WITHOUT_EFFECT, "the text")
    return Generation(sampling, stop)


def _sampling(settings: Settings) -> Sampling:
    """Sampling settings; without `do_sample`, those of the command."""
    samples = settings.flag("do_sample", None)
    # The defaults of transformers.
    usual = Sampling(1.0, top_k=50) if samples else DEFAULT_SAMPLING
    given = {}
    for key, kinds, right in (
        ("temperature", (int, float), "a number"),
        ("top_k", (int,), "a whole number"),
        ("top_p", (int, float), "a number"),
    ):
        value = settings.take(key)
        if value is not None:
            if type(value) not in kinds:
                raise settings.refusal(key, f"expected {right}")
            given[key] = value
    if samples is False:
        return Sampling(temperature=0)
    try:
        return replace(usual, **given)
    except ValueError as error:
        raise ValueError(f"{settings.path}: {error}") from None


def _stop(settings: Settings) -> tuple[int, ...]:
    ends = settings.values.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(end) is int and end >= 0 for end in ends):
        raise settings.refusal("eos_token_id", "expected one token id or a list of them")
    return tuple(ends)
