"""An artifact becomes model-package/: files, documents, clients and tests, each proved against the served model."""
