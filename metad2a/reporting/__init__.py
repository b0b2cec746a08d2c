"""Data -> figure -> HTML report."""
