#!/usr/bin/env bash
# All three phases on a small invented world: pretrain on text in nine languages, train two intermediate tasks in English, then fine-tune
# target tasks in English and predict every language, with and without the intermediate tasks.
#   bash demo.sh [folder]      default folder: demo. A second run does only what is missing.
. "$(dirname "$0")/setup.sh"
set -e
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}   # the toy model is too small for threads
folder=${1:-demo}

"$python" toy_data.py --output_dir "$folder/toy"

run() {   # run NAME SCRIPT FLAGS...: its output goes to outputs/NAME, what it prints to NAME.log
    local name=$1
    shift
    echo "== $name"
    mkdir -p "$folder/$(dirname "$name")"
    "$python" "$@" --output_dir "$folder/outputs/$name" --disable_tqdm true > "$folder/$name.log" 2>&1 || { tail -n 5 "$folder/$name.log"; exit 1; }
}

run pretrained run_intermediate.py --tasks mlm --mlm_files "$folder/toy/text/*.txt" --config_name "$folder/toy/model" --do_train --do_eval \
    --max_seq_length 32 --per_device_train_batch_size 64 --learning_rate 2e-3 --num_train_epochs 5
run intermediate run_intermediate.py --tasks mnli squad --data_dir "$folder/toy/intermediate" --model_name_or_path "$folder/outputs/pretrained" \
    --do_train --do_eval --learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 6
sed -n '/^dev  /,/^mean/p' "$folder/intermediate.log"

for start in pretrained intermediate; do
    target() {
        run "$start-$1" run_xtreme.py --task "$1" --data_dir "$folder/toy/xtreme" --model_name_or_path "$folder/outputs/$start" "${@:2}"
    }
    train=(--do_train --do_eval --do_predict --learning_rate 5e-4 --max_seq_length 128)
    target xnli "${train[@]}" --num_train_epochs 4
    target panx "${train[@]}" --num_train_epochs 2
    target xquad "${train[@]}" --num_train_epochs 6 --per_device_train_batch_size 32
    target tatoeba --do_predict --layer all
done

for task in xnli panx xquad tatoeba; do
    echo
    "$python" compare.py "$folder/outputs/pretrained-$task" "$folder/outputs/intermediate-$task"
done
echo
echo "runs, predictions and scores: $folder/outputs      logs: $folder/*.log"
