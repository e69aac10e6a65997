"""Loads trained models and prepares their input, for new texts, images and words.

The model is one trained here, together with its data, or a folder of Hugging Face transformers. May
import `training`, `data`, `provenance` and `transformer`; it never trains, and knows no task.
"""
