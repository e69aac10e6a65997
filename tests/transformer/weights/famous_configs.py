"""config.json of well-known checkpoints, with all their keys, but small sizes."""

from typing import Any

# Small sizes, which replace the published ones.
SMALL = {
    "gpt2": {"n_embd": 12, "n_head": 2, "n_layer": 2, "vocab_size": 53},
    "bert": {"hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2,
             "intermediate_size": 20, "vocab_size": 53},
    "llama": {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2,
              "intermediate_size": 20, "vocab_size": 53},
    "vit": {"hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2,
            "intermediate_size": 20},
}  # fmt: skip
SMALL["megatron-bert"] = SMALL["bert"]

GPT2 = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
    "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_positions": 1024,
    "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True,
}  # fmt: skip
GENERATES = {"task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}}
BERT = {
    "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "initializer_range": 0.02,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
    "pad_token_id": 0, "type_vocab_size": 2,
}  # fmt: skip
# Keys that transformers 2 wrote for every model.
OF_2019 = {
    "bad_words_ids": None, "bos_token_id": 0, "decoder_start_token_id": None, "do_sample": False,
    "early_stopping": False, "eos_token_id": 0, "eos_token_ids": 0, "finetuning_task": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "is_decoder": False,
    "is_encoder_decoder": False, "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "length_penalty": 1.0,
    "max_length": 20, "min_length": 0, "no_repeat_ngram_size": 0, "num_beams": 1,
    "num_labels": 2, "num_return_sequences": 1, "output_attentions": False,
    "output_hidden_states": False, "output_past": True, "prefix": None, "pruned_heads": {},
    "repetition_penalty": 1.0, "task_specific_params": None, "temperature": 1.0, "top_k": 50,
    "top_p": 1.0, "torchscript": False, "use_bfloat16": False, "xla_device": None,
}  # fmt: skip
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 2048,
    "model_type": "llama", "rms_norm_eps": 1e-05, "tie_word_embeddings": False,
    "torch_dtype": "float16", "transformers_version": "4.31.0.dev0", "use_cache": True,
}  # fmt: skip
LLAMA_3 = LLAMA | {
    "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009], "head_dim": 4, "max_position_embeddings": 131072,
    "mlp_bias": False, "num_key_value_heads": 2, "pretraining_tp": 1, "rope_theta": 500000.0,
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "tie_word_embeddings": True, "torch_dtype": "bfloat16",
}  # fmt: skip
VIT = {
    "_name_or_path": "google/vit-base-patch16-224-in21k",
    "architectures": ["ViTForImageClassification"], "attention_probs_dropout_prob": 0.0,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
    "id2label": {"0": "tench", "1": "goldfish", "2": "white shark"}, "image_size": 224,
    "initializer_range": 0.02, "label2id": {"tench": 0, "goldfish": 1, "white shark": 2},
    "layer_norm_eps": 1e-12, "model_type": "vit", "num_channels": 3, "patch_size": 16,
    "qkv_bias": True, "transformers_version": "4.13.0.dev0",
}  # fmt: skip
# Keys of transformers.js, for models in a browser.
FOR_JAVASCRIPT = {"transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}}

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": GPT2 | GENERATES,
    "gpt2-medium": GPT2 | GENERATES | {"n_special": 0, "predict_special_tokens": True},
    "gpt2-xl": GPT2 | GENERATES | {"output_past": True},
    "distilgpt2": GPT2
    | GENERATES
    | {"_num_labels": 1, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}},
    "DialoGPT-medium": GPT2
    | {
        "n_special": 0,
        "predict_special_tokens": True,
        "task_specific_params": {"conversational": {"max_length": 1000}},
    },
    "kogpt2-base-v2": GPT2
    | {
        "_num_labels": 1,
        "author": "Heewon Jeon",
        "created_date": "2021-04-28",
        "gradient_checkpointing": False,
        "license": "CC-BY-NC-SA 4.0",
        "pad_token_id": 3,
    },
    "a GPT-2 of transformers 2": GPT2 | OF_2019,
    "bert-base-uncased": BERT
    | {
        "gradient_checkpointing": False,
        "position_embedding_type": "absolute",
        "transformers_version": "4.6.0.dev0",
        "use_cache": True,
    },
    "bert-base-multilingual-cased": BERT
    | {
        "directionality": "bidi",
        "pooler_fc_size": 768,
        "pooler_num_attention_heads": 12,
        "pooler_num_fc_layers": 3,
        "pooler_size_per_head": 128,
        "pooler_type": "first_token_transform",
    },
    "a BERT of transformers 2": BERT | OF_2019 | {"vocab_size_or_config_json_file": 30522},
    "a BERT for the browser": BERT | FOR_JAVASCRIPT | {"classifier_dropout": None},
    "megatron-bert": BERT
    | {
        "architectures": ["MegatronBertForMaskedLM"],
        "model_type": "megatron-bert",
        "position_embedding_type": "absolute",
        "use_cache": True,
    },
    "llama-7b": LLAMA | {"max_sequence_length": 2048, "pad_token_id": 0, "rms_norm_eps": 1e-06},
    "Llama-2-7b-hf": LLAMA
    | {
        "_name_or_path": "meta-llama/Llama-2-7b-hf",
        "num_key_value_heads": 4,
        "pretraining_tp": 1,
        "rope_scaling": None,
    },
    "vicuna-7b-v1.5": LLAMA
    | {
        "max_length": 4096,
        "num_key_value_heads": 4,
        "pad_token_id": 0,
        "pretraining_tp": 1,
        "rope_scaling": None,
    },
    "deepseek-coder-1.3b-base": LLAMA
    | {
        "num_key_value_heads": 4,
        "pretraining_tp": 1,
        "rope_scaling": {"factor": 4.0, "type": "linear"},
        "rope_theta": 100000,
    },
    "Llama-3.2-1B, of Unsloth": LLAMA_3
    | {"pad_token_id": 52, "unsloth_fixed": True, "unsloth_version": "2024.11.10"},
    "SmolLM2-135M-Instruct": LLAMA
    | FOR_JAVASCRIPT
    | {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "is_llama_config": True,
        "mlp_bias": False,
        "num_key_value_heads": 2,
        "pad_token_id": 2,
        "pretraining_tp": 1,
        "rope_interleaved": False,
        "rope_scaling": None,
        "rope_theta": 100000,
        "tie_word_embeddings": True,
    },
    "vit-base-patch16-224": VIT,
    "a ViT after fine-tuning": VIT
    | {
        "encoder_stride": 16,
        "finetuning_task": "image-classification",
        "pooler_act": "tanh",
        "pooler_output_size": 12,
        "problem_type": "single_label_classification",
        "torch_dtype": "float32",
    },
}
CONFIGS = {name: config | SMALL[config["model_type"]] for name, config in CONFIGS.items()}
