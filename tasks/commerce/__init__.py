"""Steps that only the pipeline `commerce` uses."""
