#!/usr/bin/env bash
# Run the tests offline in the project's own environment, three files at a time on two cores, since some wait for
# other processes (-n 0: one after the other, output shown):
#   bash tests/run.sh [pytest arguments]
. "$(dirname "$0")/../setup.sh"
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 CUDA_VISIBLE_DEVICES="" TOKENIZERS_PARALLELISM=false
exec "$python" -m pytest -q -n 3 --dist loadfile "${@:-tests}"
