"""How good is a database, and what of a benchmark has leaked into it?"""
