"""A fitted model is measured on the test rows."""
