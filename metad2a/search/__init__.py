"""Searchers (ask/tell), MetaD2A itself, constraints."""
