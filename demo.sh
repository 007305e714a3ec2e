#!/usr/bin/env bash
# All three phases on a small invented world: masked LM on text in nine languages, two intermediate tasks in English,
# then fine-tune target tasks in English and predict every language, with and without the intermediate tasks.
#   bash demo.sh [folder]      default folder: demo. A second run does only what is missing.
#   bash demo.sh real          real text and a real encoder from the Hub, into demo-real: names tagged in six languages
# `real` takes from the environment: MODEL (default intfloat/multilingual-e5-small), HUB_ROOT (a mirror,
# or an excerpt of one), OUTPUT.
. "$(dirname "$0")/setup.sh"
set -e

if [ "${1:-}" = real ]; then   # a small study: recipes/demo/real.yaml
    folder=${OUTPUT:-demo-real}
    "$python" download_data.py --tasks panx mnli --languages en de tr ru ar hi --output_dir "$folder/data" \
        ${HUB_ROOT:+--hub_root "$HUB_ROOT" --allow_partial}
    DATA_DIR=$folder/data OUTPUT=$folder bash recipes/run.sh recipes/demo/real.yaml small
    echo
    "$python" compare.py "$folder/outputs/direct-panx-seed1" "$folder/outputs/mnli-panx-seed1"
    echo "with intervals: $folder/report/index.html      $SECONDS s"
    exit
fi

export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false TQDM_MININTERVAL=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}   # the toy model is too small for threads
folder=${1:-demo}
cores=$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)
names=() pids=() starts=() looks=0   # of the steps at work
mkdir -p "$folder/logs"

step() {   # step NAME SCRIPT FLAGS…: at work as soon as a core is free; writes outputs/NAME and logs/NAME.log
    while [ "${#pids[@]}" -ge "$cores" ]; do look; done
    : > "$folder/logs/$1.log"
    "$python" "${@:2}" --output_dir "$folder/outputs/$1" > "$folder/logs/$1.log" 2>&1 &
    names+=("$1") pids+=($!) starts+=($SECONDS)
}

after() {   # after NAME: wait until this step, or `everything`, has ended
    while [[ " ${names[*]} " = *" $1 "* || ( $1 = everything && ${#pids[@]} -gt 0 ) ]]; do look; done
}

look() {   # for a second: see which steps have ended, and how far the others are
    local i at_work=""
    for i in "${!pids[@]}"; do
        if kill -0 "${pids[i]}" 2> /dev/null; then
            at_work+="   ${names[i]} $(percent "$folder/logs/${names[i]}.log")$((SECONDS - starts[i])) s"
        else
            ended "$i"
        fi
    done
    looks=$((looks + 1))
    if [ -t 1 ]; then
        printf '\r\033[K%.79s' "$at_work"   # a terminal: one line, written over
    elif [ $((looks % 20)) = 0 ] && [ -n "$at_work" ]; then
        echo "$at_work"
    fi
    sleep 1
}

percent() {   # percent LOG: of the training, as the last of its progress bars says
    tr '\r' '\n' < "$1" | sed -n 's/^ *\([0-9]*\)%|.*/\1 %, /p' | tail -n 1
}

ended() {   # ended INDEX: a step has; a failed one ends the demo
    local i=$1 code=0
    wait "${pids[i]}" || code=$?
    if [ -t 1 ]; then printf '\r\033[K'; fi
    if [ "$code" != 0 ]; then
        tr '\r' '\n' < "$folder/logs/${names[i]}.log" | tail -n 5
        echo "demo.sh: ${names[i]} failed; its log is $folder/logs/${names[i]}.log" >&2
        exit 1
    fi
    printf '%-22s %3d s\n' "${names[i]}" "$((SECONDS - starts[i]))"
    unset "names[$i]" "pids[$i]" "starts[$i]"
}

stop() {   # however the demo ends, its steps end with it: they save what they have
    for i in "${!pids[@]}"; do kill "${pids[i]}" 2> /dev/null || true; done
    wait
}
trap stop EXIT
trap 'exit 130' INT

# Phases 1 and 2: masked LM, then two intermediate tasks.
"$python" toy_data.py --output_dir "$folder/toy"
step pretrained run_intermediate.py --tasks mlm --mlm_files "$folder/toy/text/*.txt" \
    --model_name_or_path "$folder/toy/model" --do_train --do_eval --max_seq_length 32 \
    --per_device_train_batch_size 64 --learning_rate 1e-3 --num_train_epochs 1
after pretrained
step intermediate run_intermediate.py --tasks mnli squad --data_dir "$folder/toy/intermediate" \
    --model_name_or_path "$folder/outputs/pretrained" --do_train --do_eval --learning_rate 5e-4 \
    --max_seq_length 128 --num_train_epochs 6

# Phase 3: every task from both encoders; from the first while the second is still trained.
train=(--do_train --do_eval --do_predict --learning_rate 5e-4 --max_seq_length 128)
for encoder in pretrained intermediate; do
    after "$encoder"
    target() {
        step "$encoder-$1" run_xtreme.py --task "$1" --data_dir "$folder/toy/xtreme" \
            --model_name_or_path "$folder/outputs/$encoder" "${@:2}"
    }
    target xquad "${train[@]}" --num_train_epochs 6 --per_device_train_batch_size 32
    target xnli "${train[@]}" --num_train_epochs 4
    target panx "${train[@]}" --num_train_epochs 2
    target tatoeba --do_predict --layer all
done
after everything

echo
sed -n '/^dev  /,/^mean/p' "$folder/logs/intermediate.log"
for task in xnli panx xquad tatoeba; do
    echo
    "$python" compare.py "$folder/outputs/pretrained-$task" "$folder/outputs/intermediate-$task"
done
echo
echo "runs, predictions and scores: $folder/outputs      logs: $folder/logs      $SECONDS s"
