#!/usr/bin/env bash
# A study, from data to report (recipes/README.md):
#   bash recipes/run.sh study1                     toy size: an invented world, on a laptop
#   bash recipes/run.sh study1 full -n             the plan: commands, GPU hours, disk space; touches nothing
#   SEEDS="1 2 3" bash recipes/run.sh study1       a setting from outside; the same command goes on
# What stands after the size goes to Snakemake as it is: --keep-going, --executor slurm --jobs 50.
export HERE=$PWD
[[ " $* " = *" -n "* || " $* " = *" --dry-run "* || "${DRY_RUN:-0}" != 0 ]] && install=no
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
exec "$python" -B recipes/study.py "$@"
