"""Steps that only the pipeline `totesys` uses."""
