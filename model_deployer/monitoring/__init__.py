"""Monitoring of a served model: alert rules, their tests, drift thresholds and a dashboard."""
