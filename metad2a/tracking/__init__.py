"""Where a run writes down what happens."""
