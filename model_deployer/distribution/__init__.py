"""A model goes to an image registry and comes back: push, pull, signature and bill of materials."""
