"""Uses trained models: continues texts, fills in masked words, classifies images.

The model is one trained here, together with its data, or a folder of Hugging Face transformers. May
import `training`, `data`, `provenance` and `transformer`; it never trains, and knows no task.
"""
