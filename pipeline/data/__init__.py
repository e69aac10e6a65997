"""Fetches, verifies and encodes the data: a module for each kind, which a section of parameters
names as its encoder. May import types of parameters and errors alone.
"""
