"""Samples: what a supplier's file contains, and the contract that loads it."""
