"""A table becomes checked columns, a target, and training, validation and test rows."""
