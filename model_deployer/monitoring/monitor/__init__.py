"""The monitor: from captured traffic and labels to evidence, a verdict, a page, metrics and messages."""
