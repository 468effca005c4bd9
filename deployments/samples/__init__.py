"""Generators of sample data, and the demo."""
