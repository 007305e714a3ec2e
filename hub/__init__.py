"""download_data.py's parts: repositories as rows, rows as files of XTREME's layout, known numbers of rows."""
