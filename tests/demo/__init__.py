"""`make demo`: the main story of the product in the terminal, every step with real calls."""
