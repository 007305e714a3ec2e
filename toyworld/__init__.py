"""toy_data.py's parts: an invented world with its languages, facts and examples; intermediate tasks and text."""
