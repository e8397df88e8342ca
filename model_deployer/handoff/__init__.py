"""The handoff package, model-package/: files, documents, clients and tests of a model, checked against its server."""
