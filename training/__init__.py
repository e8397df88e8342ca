"""A table and a model.yaml become an evaluated model: everything that happens before a model is served."""
