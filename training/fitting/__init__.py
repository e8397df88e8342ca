"""Models are fitted, compared, calibrated and fitted again on all training rows."""
