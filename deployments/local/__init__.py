"""Services on one machine, without root and without Docker, for development, the demo and the tests."""
