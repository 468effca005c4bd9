"""Explain: from a row to the lines of objects that it derives from, and from an object to the tables that hold it."""
