"""Measurements: the load against its peers, side by side in one run."""
