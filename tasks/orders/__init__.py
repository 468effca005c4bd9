"""Steps that only the pipeline `orders` uses."""
