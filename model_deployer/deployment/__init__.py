"""A handoff package becomes the definitions of a platform that runs its model."""
