"""The protocols of the paper's tables, run from the authors' files by the scripts in ``scripts/reproduce``."""
