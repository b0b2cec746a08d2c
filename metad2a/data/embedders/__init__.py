"""Frozen backbones that turn images into feature vectors."""
