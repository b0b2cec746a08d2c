"""Conformance tests for people who extend the project."""
