"""One module for each kind of object: its shape, its calls and its rules."""
