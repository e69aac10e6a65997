"""One training loop for all three models, and its parts."""
