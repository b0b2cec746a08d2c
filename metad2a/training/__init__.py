"""What the meta-models learn, and how they are validated."""
