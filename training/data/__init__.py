"""Read a table: checked columns, a target, and training, validation and test rows."""
