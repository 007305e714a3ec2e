"""download_data.py's parts: repositories as streams of rows, rows as files in XTREME's layout with the repairs, known
numbers and licenses.
"""
