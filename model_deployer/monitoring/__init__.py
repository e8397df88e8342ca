"""Alert rules, their tests, drift thresholds and a dashboard for a served model."""
