"""toy_data.py's parts: an invented world with its languages, facts and examples, and the intermediate tasks and text
about it.
"""
