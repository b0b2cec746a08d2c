"""Training-free scores of an architecture."""
