"""report.py's parts, from run folders to a page: runs, statistics, measure, tables, panels and figures, page."""
