"""The report: report.html and its plots from an evaluation."""
