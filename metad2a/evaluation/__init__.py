"""Metrics and the meta-test protocol."""
