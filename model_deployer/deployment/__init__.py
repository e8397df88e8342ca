"""Deployment definitions: from a handoff package to the files of a platform that runs its model."""
