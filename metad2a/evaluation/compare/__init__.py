"""Methods against each other: one loop, many oracles, budgets and seeds."""
