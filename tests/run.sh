#!/usr/bin/env bash
# Run the tests offline in the project's own environment, two files at a time (-n 0: one after the other, output shown):
#   bash tests/run.sh [pytest arguments]
. "$(dirname "$0")/../setup.sh"
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 CUDA_VISIBLE_DEVICES="" TOKENIZERS_PARALLELISM=false
exec "$python" -m pytest -q -n 2 --dist loadfile "${@:-tests}"
