#!/usr/bin/env bash
# Make .venv and install requirements.txt into it, once for each version of that file:
#   bash setup.sh      then start scripts with .venv/bin/python, or activate it: source .venv/bin/activate
# PYTHON names the interpreter to make it with (default: the first Python 3.11 or newer on the PATH).
# demo.sh, recipes/run.sh and tests/run.sh source this file and find the interpreter in $python; with install=no any
# Python will do, and nothing is installed.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "setup.sh: no Python 3.11 or newer found; install one or set PYTHON=/path/to/python3.11" >&2
    return 1
}

make_environment() {
    local creator
    creator=$(find_python) || return 1
    if [ ! -x "$python" ] && ! "$creator" -m venv .venv; then
        echo "setup.sh: python -m venv failed; on Debian: apt install python3-venv" >&2
        return 1
    fi
    echo "installing requirements.txt into .venv (a few minutes, once)"
    "$python" -m pip install --quiet --disable-pip-version-check -r requirements.txt || return 1
    cp requirements.txt .venv/installed-requirements.txt
}

python=.venv/bin/python
if [ "${install:-yes}" = no ]; then
    [ -x "$python" ] || python=$(find_python) || exit 1
else
    cmp -s requirements.txt .venv/installed-requirements.txt || make_environment || exit 1
fi
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    echo "ready: .venv/bin/python run_xtreme.py ..., or first: source .venv/bin/activate"
fi
