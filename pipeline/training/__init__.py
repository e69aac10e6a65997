"""One training loop for all three models, and what it is made of."""
