"""How fast the project is, how much memory it takes, and how both grow with the size of the problem."""
