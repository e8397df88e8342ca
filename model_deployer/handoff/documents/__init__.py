"""README, changelog, model card and integration guide of a package."""
