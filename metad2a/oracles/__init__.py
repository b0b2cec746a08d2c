"""Sources of true metrics."""
