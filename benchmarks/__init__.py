"""How fast, beside others, in one run on one machine: only the ratios mean anything elsewhere."""
