"""How text is written: Markdown, HTML, YAML and templates."""
