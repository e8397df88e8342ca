"""Fit models, choose the best one, calibrate it, and fit it again on the training and validation rows."""
