"""What an architecture is: search spaces, their graphs and their networks."""
