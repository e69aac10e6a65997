"""Fetches, verifies and encodes the data."""
