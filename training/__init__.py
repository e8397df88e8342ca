"""Train, evaluate and export a model from a table and a model.yaml: everything before a model is served."""
