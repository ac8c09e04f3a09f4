"""Compare, describe and check the trials of a result."""
