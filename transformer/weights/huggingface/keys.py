"""Keys of a config.json that change neither the forward pass nor its gradients, by kind.

The modelling code of transformers does not read them, or uses them only for memory, initial
weights, losses or the heads of other tasks.
"""

BOOKKEEPING = (
    "architectures", "cls_token_id", "custom_pipelines", "do_lower_case", "dtype",
    "finetuning_task", "mask_token_id", "max_sequence_length", "model_max_length", "model_type",
    "name_or_path", "prefix", "sep_token_id", "task_specific_params", "tokenizer_class",
    "torch_dtype", "transformers_version", "unk_token_id",
)  # fmt: skip
# Notes for people about the checkpoint.
NOTES = ("author", "created_date", "language", "license")
# For other heads, and for losses.
TASKS = (
    "classifier_dropout", "encoder_stride", "id2label", "label2id", "num_labels", "problem_type",
    "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type",
    "summary_use_proj",
)  # fmt: skip
# How to compute, initialize or return the same.
SWITCHES = (
    "attn_implementation", "chunk_size_feed_forward", "gradient_checkpointing",
    "initializer_range", "output_attentions", "output_hidden_states", "output_past",
    "reorder_and_upcast_attn", "return_dict", "tf_legacy_loss", "use_bfloat16", "use_cache",
    "use_return_dict", "xla_device",
)  # fmt: skip
# Written by older versions and by conversion tools, read by no version.
LEFT_OVER = (
    "eos_token_ids", "is_llama_config", "n_special", "pooler_fc_size",
    "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head",
    "predict_special_tokens", "vocab_size_or_config_json_file",
)  # fmt: skip
# Settings of transformers' `generate`, now in generation_config.json (tokens in both).
GENERATION = (
    "assistant_confidence_threshold", "assistant_early_exit", "assistant_ensemble_weight",
    "assistant_lookbehind", "bad_words_ids", "begin_suppress_tokens", "bos_token_id",
    "cache_config", "cache_implementation", "compile_config", "constraints",
    "continuous_batching_config", "decoder_start_token_id", "disable_compile",
    "diversity_penalty", "do_sample", "dola_layers", "early_stopping",
    "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "eos_token_id",
    "epsilon_cutoff", "eta_cutoff", "exponential_decay_length_penalty", "force_words_ids",
    "forced_bos_token_id", "forced_decoder_ids", "forced_eos_token_id", "guidance_scale",
    "is_assistant", "length_penalty", "low_memory", "max_cache_len", "max_length",
    "max_matching_ngram_size", "max_new_tokens", "max_time", "min_length", "min_new_tokens",
    "min_p", "no_repeat_ngram_size", "num_assistant_tokens", "num_assistant_tokens_schedule",
    "num_beam_groups", "num_beams", "num_return_sequences", "output_logits", "output_scores",
    "penalty_alpha", "prefill_chunk_size", "prompt_lookup_num_tokens", "remove_invalid_values",
    "renormalize_logits", "repetition_penalty", "return_dict_in_generate", "sequence_bias",
    "speculation_type", "stop_strings", "suppress_tokens", "target_lookbehind",
    "temperature", "token_healing", "top_h", "top_k", "top_p", "typical_p", "use_mtp",
    "watermarking_config",
)  # fmt: skip
WITHOUT_EFFECT = frozenset(BOOKKEEPING + NOTES + TASKS + SWITCHES + LEFT_OVER + GENERATION)
# Prefixes of private keys, and of keys that exporters add.
BEGINNINGS = ("_", "transformers.js_", "transformers_js_", "unsloth_")


def has_no_effect(key: str) -> bool:
    """Whether `key` never changes the model."""
    return key in WITHOUT_EFFECT or key.startswith(BEGINNINGS)
