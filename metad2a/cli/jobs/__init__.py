"""The jobs behind the commands that Hydra configures."""
