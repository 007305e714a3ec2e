"""What the run scripts share; each module says what it holds. Imports only `tasks` and `metrics` of ours."""
