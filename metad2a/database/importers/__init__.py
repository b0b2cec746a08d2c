"""Files of other programs, opened safely: what this package makes of them, and where it came from."""
