"""Formats: an object's bytes become batches of text values, and batches become rows."""
