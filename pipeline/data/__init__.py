"""Real data: fetched from where it is published, verified, encoded once."""
