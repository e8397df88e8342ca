"""Programs of a package that need nothing but Python."""
