"""What can be done with databases that are there: look, check, repair, merge, export."""
