"""Builds: SQL files fill the tables that derive from staging."""
