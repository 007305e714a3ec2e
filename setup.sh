# Sourced by demo.sh, recipes/common.sh and tests/run.sh: makes .venv and installs requirements.txt, once for each version of that file.
# PYTHON names the interpreter to make it with (default: the first Python 3.11 or newer on the PATH). With install=no only a Python is found.
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

python=.venv/bin/python
if [ "${install:-yes}" = no ]; then
    [ -x "$python" ] || python=$(find_python) || exit 1
elif ! cmp -s requirements.txt .venv/installed-requirements.txt; then
    creator=$(find_python) || exit 1
    [ -x "$python" ] || "$creator" -m venv .venv || { echo "setup.sh: python -m venv failed; on Debian: apt install python3-venv" >&2; exit 1; }
    echo "installing requirements.txt into .venv (a few minutes, once)"
    "$python" -m pip install --quiet --disable-pip-version-check -r requirements.txt || exit 1
    cp requirements.txt .venv/installed-requirements.txt
fi
