"""The worst noise per example: run_attack.py's own."""
