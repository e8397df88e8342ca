"""What a handoff package says of a model: its data, measurements and sizing."""
