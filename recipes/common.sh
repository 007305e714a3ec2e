# Sourced by the studies: what they share. A study sets its variables and ends with `carry_out`.
#
# Settings that every study knows, beside its own:
#   SCALE=toy|full    an invented world and a tiny model on a laptop (default); xlm-roberta-large, real data and GPUs
#   DRY_RUN=1         print all commands and the estimated cost; needs no GPU, data, network, packages; touches nothing
#   OUTPUT            folder of everything that is written: logs/ noised/ outputs/ report/ (toy size: also toy/)
#   MODEL             folder or Hub id that phases 2 and 3 start from (toy size: a given one replaces phase 1)
#   DATA_DIR, INTERMEDIATE_DIR      test sets and intermediate tasks (toy size: given ones replace the invented world)
#   LANGUAGES         some languages of the test sets, which all targets have (default: all that are on disk)
#   PHASE1_FLAGS, PHASE2_FLAGS, PHASE3_FLAGS, PERTURB_FLAGS      instead of the study's own flags of that step
#   TAG_PIECE         where targets' tags are read (default: first_letter; first is XTREME's protocol, docs/training.md)
#   JOBS              toy size: runs at a time, each on one core (default: the number of cores, at most 8)
#   GPUS, GPU_MEMORY, DEEPSPEED     full size: instead of what nvidia-smi says (number, MiB), what follows from it
#   TOKENS_PER_SECOND one GPU's speed in training, for the estimate
#
# A step that was finished is skipped when its command is the same and nothing it reads has changed since; delete
# OUTPUT/logs to have all of them look again. Steps that were stopped go on where they were, because the scripts do.
# Lists and flags are split at their spaces; the studies set the variables:
# shellcheck shell=bash disable=SC2086,SC2206,SC2153
set -euo pipefail

fail() {   # fail MESSAGE: one line, exit code 2, before anything is written
    echo "$(basename "$0"): error: $*" >&2
    exit 2
}

SCALE=${SCALE:-toy} DRY_RUN=${DRY_RUN:-0}
case $SCALE in toy | full) ;; *) fail "SCALE=$SCALE: choose toy or full" ;; esac
case $DRY_RUN in 0 | 1) ;; *) fail "DRY_RUN=$DRY_RUN: give 1 to print the commands only, or leave it out" ;; esac

# Paths given from another folder mean files there; the commands themselves run in the repository.
here=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ "$here" != "$root" ]; then
    for name in OUTPUT DATA_DIR INTERMEDIATE_DIR MODEL PAIRS; do
        value=${!name:-}
        case $value in "" | /*) continue ;; esac
        [ "$name" != MODEL ] || [ -e "$value" ] || continue   # a model may be a Hub id
        printf -v "$name" '%s/%s' "$here" "$value"
    done
fi
install=no
. "$root/setup.sh"   # finds a Python for the checks; changes to the repository
export TOKENIZERS_PARALLELISM=false
[ "$SCALE" = full ] || [ -n "${MODEL:-}" ] || export HF_HUB_OFFLINE=1   # nothing is asked of the Hub
[ "$SCALE" = full ] || export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}   # the toy model is too small for threads

# --- The steps of a study

study() {
    local setting target seed encoder
    starting_point   # data; at toy size also phase 1
    noised_copies

    for setting in $INTERMEDIATES; do
        for seed in $PHASE2_SEEDS; do phase2 "$setting" "$seed"; done
    done
    for setting in direct $INTERMEDIATES; do
        for encoder in $(encoders "$setting"); do
            for target in $TARGETS; do
                for seed in $SEEDS; do phase3 "$encoder" "$target" "$seed"; done
            done
        done
    done
    report
}

starting_point() {   # toy size: the invented world, and phase 1 on its text, where no given ones replace them
    case "|$DATA_DIR|$INTERMEDIATE_DIR|$MODEL|" in
    *"|$OUTPUT/toy/"* | *"|$OUTPUT/outputs/pretrained|"*) run toy toy_data.py --output_dir "$OUTPUT/toy" ;;
    esac
    after toy
    if [ "$MODEL" = "$OUTPUT/outputs/pretrained" ]; then
        train pretrained run_intermediate.py --tasks mlm --mlm_files "$OUTPUT/toy/text/*.txt" \
            --model_name_or_path "$OUTPUT/toy/model" --do_train --do_eval $PHASE1_FLAGS
    fi
}

noised_copies() {   # every operation at every level; WORST_OF also in further draws
    local perturb=(perturb.py --data_dir "$DATA_DIR" --output_dir "$OUTPUT/noised" --tasks $TARGETS)
    perturb+=(${LANGUAGES:+--languages $LANGUAGES} $PERTURB_FLAGS)
    [ -z "$OPS" ] || run noised "${perturb[@]}" --ops $OPS --levels $LEVELS
    after noised
    [ -z "$WORST_OF" ] || run replicates "${perturb[@]}" --ops "${WORST_OF%-*}" --levels "${WORST_OF##*-}" \
        --replicates "$REPLICATES"
}

conditions() {   # sets `given`: the --conditions of run_xtreme.py
    local names=() op level draw name
    for op in $OPS; do
        for level in $LEVELS; do names+=("$op-$level"); done
    done
    for ((draw = 1; draw < REPLICATES; draw++)); do
        [ -z "$WORST_OF" ] || names+=("$WORST_OF-r$draw")
    done
    given=("clean=$DATA_DIR")
    for name in ${names[@]+"${names[@]}"}; do   # noise that applies to no target at all has no folder
        [ "$total" != 0 ] && [ ! -d "$OUTPUT/noised/$name" ] || given+=("$name=$OUTPUT/noised/$name")
    done
}

encoder() {   # encoder SETTING SEED: the folder of the encoder that phase 2 trains with this seed
    [ "$2" = "${PHASE2_SEEDS%% *}" ] && printf '%s\n' "$1" || printf '%s-encoder%s\n' "$1" "$2"
}

encoders() {   # encoders SETTING: those of all seeds of phase 2; `direct` has none of its own
    local seed
    [ "$1" != direct ] || { echo direct; return; }
    for seed in $PHASE2_SEEDS; do encoder "$1" "$seed"; done
}

phase2() {   # phase2 SETTING SEED: an encoder, trained on the English task, or on several, joined by +
    after pretrained
    train "$(encoder "$1" "$2")" run_intermediate.py --tasks ${1//+/ } --data_dir "$INTERMEDIATE_DIR" --model_name_or_path "$MODEL" \
        --do_train --do_eval --seed "$2" $PHASE2_FLAGS
}

phase3() {   # phase3 ENCODER TARGET SEED: trained in English from the encoder, predicted clean and noised
    local setting=$1 target=$2 seed=$3 encoder=$OUTPUT/outputs/$1 given
    after pretrained noised replicates "$setting"
    [ "$setting" != direct ] || encoder=$MODEL
    conditions
    local name=$setting-$target-seed$seed test=(run_xtreme.py --task "$target" --data_dir "$DATA_DIR")
    test+=(--model_name_or_path "$encoder" --do_predict --seed "$seed" --conditions "${given[@]}")
    case $target in
    tatoeba | bucc2018)   # trains nothing: one run says all
        [ "$seed" != "${SEEDS%% *}" ] || train "$name" "${test[@]}" ${LANGUAGES:+--languages ${FOREIGN}}
        return
        ;;
    udpos | panx) test+=(--tag_piece "${TAG_PIECE:-first_letter}") ;;   # a bare "▁" says nothing of its word
    esac
    train "$name" "${test[@]}" ${LANGUAGES:+--languages $LANGUAGES} --do_train --do_eval $PHASE3_FLAGS
}

report() {
    after everything
    run report report.py --runs "$OUTPUT/outputs/*" --baseline "$OUTPUT/outputs/direct-*" \
        --output_dir "$OUTPUT/report" --title "$TITLE" ${QUESTION:+--question "$QUESTION"}
}

# --- Carrying it out

carry_out() {   # check the settings, list the commands, then do them
    local started=$SECONDS
    settle
    "$python" -B recipes/cost.py check || exit 2
    hardware
    total=0 commands=()
    study   # with total=0 its steps are only listed
    if [ "$DRY_RUN" = 1 ]; then
        printf '%s\n' "${commands[@]}"
        printf '%s\n' "${commands[@]}" | "$python" -B recipes/cost.py estimate
        exit 0
    fi
    data_is_there
    install=yes
    . ./setup.sh
    total=${#commands[@]} number=0 skipped=0
    mkdir -p "$OUTPUT/logs"
    echo "$total steps into $OUTPUT$([ "$SCALE" = toy ] && echo ", $JOBS at a time" || echo ", on $GPUS GPU(s)")"
    set -m   # every step is a process group of its own, which can be stopped whole
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap leave EXIT
    study
    after everything
    [ "$skipped" = 0 ] || echo "$skipped finished before and skipped"
    echo "$OUTPUT/report/index.html      $(((SECONDS - started + 30) / 60)) minutes; logs: $OUTPUT/logs"
}

settle() {   # what no study has set
    if [ "$SCALE" = toy ]; then
        DATA_DIR=${DATA_DIR:-$OUTPUT/toy/xtreme} INTERMEDIATE_DIR=${INTERMEDIATE_DIR:-$OUTPUT/toy/intermediate}
        MODEL=${MODEL:-$OUTPUT/outputs/pretrained}
        JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN 2> /dev/null | awk '{ print ($1 < 8) ? $1 : 8 }')} JOBS=${JOBS:-1}
    else
        DATA_DIR=${DATA_DIR:-data/xtreme} INTERMEDIATE_DIR=${INTERMEDIATE_DIR:-data/intermediate}
        MODEL=${MODEL:-xlm-roberta-large} JOBS=1
    fi
    local phase1="--max_seq_length 32 --per_device_train_batch_size 64 --learning_rate 1e-3 --num_train_epochs 1"
    PHASE1_FLAGS=${PHASE1_FLAGS-$phase1}
    PHASE2_SEEDS=${PHASE2_SEEDS:-1}   # one encoder per setting, as in the paper; "1 2 3" tells how encoders differ
    PERTURB_FLAGS=${PERTURB_FLAGS-} LANGUAGES=${LANGUAGES-} FOREIGN=" ${LANGUAGES-} "
    FOREIGN=${FOREIGN/ en / }   # retrieval compares with English
    [ -n "$OPS" ] || WORST_OF=
    export SCALE INTERMEDIATES TARGETS OPS LEVELS SEEDS WORST_OF REPLICATES LANGUAGES PHASE2_SEEDS JOBS
}

hardware() {   # sets `launcher` and `deepspeed`; the thresholds are those of ds_configs/README.md for XLM-R Large
    launcher=(.venv/bin/python) deepspeed=()
    [ "$SCALE" = full ] || return 0
    local memories   # in MiB, a GPU per line
    memories=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2> /dev/null) || true
    memories=$(grep -E '^[0-9]+$' <<< "$memories" || true)
    if [ -n "$memories" ]; then
        [ -z "${CUDA_VISIBLE_DEVICES:-}" ] || GPUS=${GPUS:-$(tr ',' '\n' <<< "$CUDA_VISIBLE_DEVICES" | grep -c .)}
        GPUS=${GPUS:-$(wc -l <<< "$memories" | tr -d ' ')}
        GPU_MEMORY=${GPU_MEMORY:-$(sort -n <<< "$memories" | head -n 1)}
    elif [ "$DRY_RUN" = 0 ]; then
        fail "SCALE=full: nvidia-smi finds no GPU here; start it on a node with GPUs," \
            "print the commands with DRY_RUN=1, or take SCALE=toy"
    fi
    GPUS=${GPUS:-1} GPU_MEMORY=${GPU_MEMORY:-80000}
    export GPUS GPU_MEMORY
    [ "$GPUS" = 1 ] || launcher=(.venv/bin/torchrun --standalone --nproc_per_node "$GPUS")
    if [ -z "${DEEPSPEED+given}" ]; then
        if [ "$GPU_MEMORY" -ge 38000 ]; then DEEPSPEED=   # a 40 GB GPU and more: plain data parallelism is fastest
        elif [ "$GPUS" -gt 1 ] && [ "$GPU_MEMORY" -ge 15000 ]; then DEEPSPEED=ds_configs/zero2.json
        else DEEPSPEED=ds_configs/zero2_offload.json; fi
    fi
    [ -z "$DEEPSPEED" ] || deepspeed=(--deepspeed "$DEEPSPEED")
}

data_is_there() {   # full size or given folders: data must be there; what nobody can download is left out
    local name download=".venv/bin/python download_data.py --tasks all --output_dir data"
    for name in DATA_DIR INTERMEDIATE_DIR; do
        case ${!name} in "$OUTPUT/toy/"*) continue ;; esac
        [ -d "${!name}" ] || fail "$name=${!name}: no such folder; download it with: $download"
    done
    [ "$SCALE" = full ] || return 0
    local before=${#commands[@]}
    case " $INTERMEDIATES " in
    *" ccg "*)
        [ -e "$INTERMEDIATE_DIR/ccg/train.jsonl" ] ||
            leave_out INTERMEDIATES ccg "CCGbank is licensed and not in $INTERMEDIATE_DIR"
        ;;
    esac
    case " $TARGETS " in
    *" bucc2018 "*)
        [ -e "$DATA_DIR/bucc2018/de-en.dev.gold" ] ||
            leave_out TARGETS bucc2018 "its dev files are not in $DATA_DIR, see docs/data.md"
        ;;
    esac
    commands=()
    study
    [ "${#commands[@]}" = "$before" ] || echo "$((before - ${#commands[@]})) steps fewer"
}

leave_out() {   # leave_out VARIABLE NAME REASON
    local list=" ${!1} "
    echo "left out: $2 ($3)"
    printf -v "$1" '%s' "${list/ $2 / }"
}

run() {   # run NAME SCRIPT FLAGS…: one process
    step "$1" "" "${@:2}"
}

train() {   # train NAME SCRIPT FLAGS…: on all GPUs, into outputs/NAME; skipped where it was finished
    step "$1" "$OUTPUT/outputs/$1" "${@:2}" --output_dir "$OUTPUT/outputs/$1" --disable_tqdm true
}

step() {   # step NAME FOLDER SCRIPT FLAGS…: list it, skip it, or start it as soon as fewer than JOBS are at work
    local name=$1 folder=$2 log=$OUTPUT/logs/$1.log identity command
    shift 2
    identity=$(shown "$@")   # without the launcher: another node may have other GPUs
    command=(.venv/bin/python "$@")
    [ -z "$folder" ] || command=("${launcher[@]}" "$@" ${deepspeed[@]+"${deepspeed[@]}"})
    if [ "$total" = 0 ]; then
        commands+=("$(shown "${command[@]}")")
        return
    fi
    number=$((number + 1))
    while collect && [ "${#pids[@]}" -ge "$JOBS" ]; do sleep 0.2; done
    if [ -n "$folder" ] && finished "$folder" "$log.done" "$identity" "$@"; then
        skipped=$((skipped + 1))
        return
    fi
    printf '[%d/%d] %s\n' "$number" "$total" "$(shown "${command[@]}")"
    rm -f "$log.done"
    printf '%s\n' "$identity" > "$log.begun"   # its time tells what the step has seen
    attempt "$log" "${command[@]}" < /dev/null &
    pids[number]=$! names[number]=$name folders[number]=$folder starts[number]=$SECONDS
}

attempt() {   # attempt LOG COMMAND…: patterns expanded; waits for a killed study's process still at work there
    local log=$1 words=() word path
    shift
    for word; do
        case $word in
        *'*'*) while IFS= read -r path; do words+=("$path"); done < <(compgen -G "$word" | LC_ALL=C sort) ;;
        *) words+=("$word") ;;
        esac
    done
    until "${words[@]}" > "$log" 2>&1; do
        grep -q "another run is at work in it" "$log" || return 1
        sleep 5
    done
}

finished() {   # finished FOLDER STAMP IDENTITY WORD…: it came to its end, and no file that it names has changed since
    local folder=$1 stamp=$2 identity=$3 inputs=() word
    shift 3
    grep -qs '"finished_at": "' "$folder/run.json" && [ "$(cat "$stamp" 2> /dev/null)" = "$identity" ] || return 1
    for word; do
        word=${word#*=}   # NAME=FOLDER of --conditions
        [ ! -e "$word" ] || [ "$word" = "$folder" ] || inputs+=("$word")
    done
    [ -z "$(find -H "${inputs[@]}" -newer "$stamp" ! -name .lock -print -quit)" ]
}

collect() {   # see which steps have ended; the first that failed ends the study
    local i code folder
    for i in ${pids[@]+"${!pids[@]}"}; do
        ! kill -0 "${pids[i]}" 2> /dev/null || continue
        code=0 folder=${folders[i]}
        wait "${pids[i]}" 2> /dev/null || code=$?
        unset "pids[$i]"
        if [ "$code" != 0 ]; then
            tail -n 5 "$OUTPUT/logs/${names[i]}.log"
            echo "$(basename "$0"): ${names[i]} failed; its log is $OUTPUT/logs/${names[i]}.log"
            exit 1
        elif [ -n "$folder" ] && ! grep -qs '"finished_at": "' "$folder/run.json"; then
            tail -n 1 "$OUTPUT/logs/${names[i]}.log"   # a signal from elsewhere stopped it
            exit 1
        fi
        mv "$OUTPUT/logs/${names[i]}.log.begun" "$OUTPUT/logs/${names[i]}.log.done"
        [ -z "$folder" ] || rm -rf "$folder"/checkpoint-*   # the model that was selected lies in the folder itself
        echo "      ${names[i]}: $((SECONDS - starts[i])) s"
        unset "names[$i]"
    done
}

after() {   # after NAME…: wait until these steps, or `everything`, have ended
    local waits=1 name
    while [ "$waits" = 1 ]; do
        collect
        waits=0
        for name in ${names[@]+"${names[@]}"}; do
            case " $* " in *" $name "* | " everything ") waits=1 ;; esac
        done
        [ "$waits" = 0 ] || sleep 0.2
    done
}

leave() {   # however the study ends, its steps end with it: they save what they have
    local code=$? pid
    trap - EXIT
    exec 2> /dev/null   # bash's own words on the steps that it stops
    for pid in ${pids[@]+"${pids[@]}"}; do kill -TERM -- "-$pid" 2> /dev/null || true; done
    for pid in ${pids[@]+"${pids[@]}"}; do while kill -0 -- "-$pid" 2> /dev/null; do sleep 0.2; done; done
    [ "$code" = 0 ] || echo "stopped; the same command goes on from here"
    exit "$code"
}

shown() {   # a command as it can be typed
    local text
    printf -v text '%q ' "$@"
    text=${text% }
    printf '%s\n' "${text//\\\*/*}"
}

pids=() names=() folders=() starts=() total=0 number=0
