"""What is known: records of (task, architecture, recipe, metrics)."""
