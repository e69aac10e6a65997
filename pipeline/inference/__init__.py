"""Trained models at work for people: text that goes on, hidden words, images by their class.

A model is one that was trained here, with the data that it was trained on beside it, or a folder
of Hugging Face transformers.
"""
