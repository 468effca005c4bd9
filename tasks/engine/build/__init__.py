"""Builds: fill the tables that derive from staging, with the SQL files."""
