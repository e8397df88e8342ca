"""From a table and a model.yaml to an evaluated, versioned model behind an API, with BentoML."""
