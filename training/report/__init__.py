"""An evaluation becomes report.html and its plots."""
