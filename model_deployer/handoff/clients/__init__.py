"""Clients of a served model in the languages of backends."""
