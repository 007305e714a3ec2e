"""report.py's parts, from run folders to files: runs, statistics, measure, groups, tables, figures, page, write."""
