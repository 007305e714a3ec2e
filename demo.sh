#!/usr/bin/env bash
# The main job on a small invented world: fine-tune in English, predict every language, one run per kind of task.
#   bash demo.sh [folder]      default folder: demo. A second run does only what is missing.
. "$(dirname "$0")/setup.sh"
set -e
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}   # the toy model is too small for threads
folder=${1:-demo}

"$python" toy_data.py --output_dir "$folder/toy"

run() {
    local task=$1
    shift
    echo
    echo "== $task"
    "$python" run_xtreme.py --task "$task" --data_dir "$folder/toy/xtreme" --model_name_or_path "$folder/toy/model" \
        --output_dir "$folder/outputs/$task" --disable_tqdm true "$@" > "$folder/$task.log" 2>&1 || { tail -n 5 "$folder/$task.log"; exit 1; }
    sed -n "/^$task: /,\$p" "$folder/$task.log"
}

train=(--do_train --do_eval --do_predict --learning_rate 1e-3 --max_seq_length 128)
run xnli "${train[@]}" --num_train_epochs 6
run panx "${train[@]}" --num_train_epochs 3
run xquad "${train[@]}" --num_train_epochs 10 --per_device_train_batch_size 32
run xcopa "${train[@]}" --num_train_epochs 6
run tatoeba --do_predict --layer all
run bucc2018 --do_predict

echo
"$python" metrics.py --predictions "$folder/outputs/xquad/predictions/clean" --data_dir "$folder/toy/xtreme" | sed -n 1,4p
echo
echo "runs, predictions and scores: $folder/outputs      logs: $folder/*.log"
