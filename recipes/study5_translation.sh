#!/usr/bin/env bash
# Study 5: does intermediate training in many languages, rather than in English, make translation from low-resource
# languages more robust to noise? A decoder is trained on each encoder, frozen (the probe), and then both together.
#   bash recipes/study5_translation.sh                              toy size: an invented world, on a laptop
#   SCALE=full bash recipes/study5_translation.sh                   xlm-roberta-large on real data, on a node with GPUs
#   SCALE=full GPUS=8 DRY_RUN=1 bash recipes/study5_translation.sh  commands, GPU hours, disk space; touches nothing
# The same command goes on where it was stopped. Every setting below can be given in the environment, and beside those
# of common.sh:
#   ENCODERS          of none english multilingual robust: MODEL itself; TASKS in English; TASKS in TASK_LANGUAGES, as
#                     many examples; TASKS in English with ROBUST_FLAGS
#   PAIRS, TRAINED    folder of train.<lang>-en.<lang> and .en, and the languages of it that decoders learn from
#   DATA_DIR, SET     folder with parallel/<SET>, the test set
#   DECODER_SEEDS     of the decoder's first weights and the order of its data, the same for all encoders
#   FLOORS            of random permuted: a random encoder of the same size; targets permuted among the lines
#   FROZEN_FLAGS, UNFROZEN_FLAGS      of run_translation.py, first and second stage
# shellcheck source-path=SCRIPTDIR disable=SC2086
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

OUTPUT=${OUTPUT:-studies/translation-$SCALE}
ENCODERS=${ENCODERS-none english multilingual robust}
FLOORS=${FLOORS-random permuted}
ROBUST_FLAGS=${ROBUST_FLAGS---train_noise mixed --consistency 1}
DECODER_SEEDS=${DECODER_SEEDS:-1 2 3}
case $SCALE in
toy)
    DATA_DIR=${DATA_DIR:-$OUTPUT/toy/}
    SET=${SET:-pairs}
    PAIRS=${PAIRS:-${DATA_DIR%/}/parallel/pairs}
    TRAINED=${TRAINED:-de hi ru}
    LANGUAGES=${LANGUAGES-de hi sw zh}
    TASKS=${TASKS:-mnli}
    TASK_LANGUAGES=${TASK_LANGUAGES:-en de ru sw}
    OPS=${OPS-swap}   # applies to every script
    LEVELS=${LEVELS:-1 3}
    PHASE2_FLAGS=${PHASE2_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 6 --collapse_guard off}
    short="--max_eval_samples 50 --max_predict_samples 100 --num_beams 1 --eval_strategy no --save_strategy no"
    FROZEN_FLAGS=${FROZEN_FLAGS---decoder_layers 2 --max_tokens 1024 --learning_rate 2e-3 --max_steps 300 $short}
    UNFROZEN_FLAGS=${UNFROZEN_FLAGS---max_tokens 1024 --learning_rate 5e-4 --max_steps 60 $short}
    ;;
full)
    DATA_DIR=${DATA_DIR:-data/tests}   # download_data.py --tasks flores200 --output_dir data/tests
    SET=${SET:-flores200}
    PAIRS=${PAIRS:-data/pairs/parallel/opus100}   # download_data.py --tasks opus100 --output_dir data/pairs
    TRAINED=${TRAINED:-de es fi hi ru zh}   # SixT+'s six
    LANGUAGES=${LANGUAGES-af sw jv yo my te mr ur pa gu kk ka eu tl ml ta bn az quy wo ht de es fr ru zh hi ar}
    TASKS=${TASKS:-mnli}
    TASK_LANGUAGES=${TASK_LANGUAGES:-en de ru sw}   # mnli/train.de.jsonl: XNLI's translations of MNLI
    OPS=${OPS-keyboard swap delete}
    LEVELS=${LEVELS:-1 2 3}
    PHASE2_FLAGS=${PHASE2_FLAGS---selection_samples 500 --restart_on_collapse 2}
    evaluate="--eval_strategy steps --eval_steps 1000 --save_strategy steps --save_steps 1000"
    FROZEN_FLAGS=${FROZEN_FLAGS---decoder_layers 12 $evaluate}
    UNFROZEN_FLAGS=${UNFROZEN_FLAGS-$evaluate}
    ;;
esac
INTERMEDIATES=${TASKS// /+} TARGETS='' SEEDS=$DECODER_SEEDS WORST_OF='' REPLICATES=1   # what is checked before
TITLE="Study 5: translation, languages of intermediate training, noise ($SCALE size)"
QUESTION=${QUESTION:-"Does intermediate training in many languages instead of English make translation more robust?"}

study() {
    local setting seed
    starting_point
    run noised perturb.py --data_dir "${DATA_DIR%/}" --output_dir "$OUTPUT/noised" --tasks lines --ops $OPS \
        --levels $LEVELS ${LANGUAGES:+--languages $LANGUAGES} $PERTURB_FLAGS
    case " $FLOORS " in
    *" permuted "*) run permuted tools/permute_targets.py --data_dir "$PAIRS" --output_dir "$OUTPUT/permuted" ;;
    esac

    after pretrained
    for setting in $ENCODERS; do intermediate "$setting"; done
    after noised permuted
    for setting in $ENCODERS; do
        after "$setting"
        for seed in $DECODER_SEEDS; do translate "$setting" "$seed" "$(encoder_of "$setting")"; done
    done
    for setting in $FLOORS; do
        for seed in $DECODER_SEEDS; do translate "$setting" "$seed" "$MODEL"; done
    done
    for setting in $ENCODERS; do
        for seed in $DECODER_SEEDS; do
            after "$setting-seed$seed"
            second_stage "$setting" "$seed"
        done
    done
    reports
}

intermediate() {   # intermediate SETTING: an encoder of phase 2, the same tasks and steps for all
    local more=()
    case $1 in
    none) return ;;
    multilingual) more=(--task_languages $TASK_LANGUAGES) ;;
    robust) more=($ROBUST_FLAGS) ;;
    esac
    train "$1" run_intermediate.py --tasks $TASKS --data_dir "$INTERMEDIATE_DIR" --model_name_or_path "$MODEL" \
        --do_train --do_eval --seed "$PHASE2_SEEDS" $PHASE2_FLAGS ${more[@]+"${more[@]}"}
}

encoder_of() {   # encoder_of SETTING: its folder
    [ "$1" = none ] && printf '%s\n' "$MODEL" || printf '%s\n' "$OUTPUT/outputs/$1"
}

translate() {   # translate SETTING SEED ENCODER: the probe, a decoder on the frozen encoder, clean and noised test sets
    local pairs=$PAIRS more=() given
    [ "$1" != permuted ] || pairs=$OUTPUT/permuted
    [ "$1" != random ] || more=(--random_encoder)
    noisy
    train "$1-seed$2" run_translation.py --model_name_or_path "$3" --data_dir "$pairs" --train_languages $TRAINED \
        --freeze encoder --decoder_seed "$2" --seed "$2" --do_train --do_eval --do_predict \
        --conditions "${given[@]}" ${LANGUAGES:+--languages $LANGUAGES} ${update[@]+"${update[@]}"} $FROZEN_FLAGS \
        ${more[@]+"${more[@]}"}
}

second_stage() {   # second_stage SETTING SEED: encoder and decoder go on together
    local given
    noisy
    train "$1-unfrozen-seed$2" run_translation.py --model_name_or_path "$OUTPUT/outputs/$1-seed$2" --data_dir "$PAIRS" \
        --train_languages $TRAINED --freeze embeddings --seed "$2" --do_train --do_eval --do_predict \
        --conditions "${given[@]}" ${LANGUAGES:+--languages $LANGUAGES} ${update[@]+"${update[@]}"} $UNFROZEN_FLAGS
}

noisy() {   # sets `given`, the --conditions, and `update`, by which an update has a quarter of a million pieces
    local op level
    given=("clean=${DATA_DIR%/}/parallel/$SET") update=()
    for op in $OPS; do
        for level in $LEVELS; do given+=("$op-$level=$OUTPUT/noised/$op-$level"); done
    done
    [ "$SCALE" = toy ] || update=(--max_tokens 4096 --gradient_accumulation_steps $((GPUS < 64 ? 64 / GPUS : 1)))
}

reports() {   # the probe with its floors, then the models that were trained whole; English-only is the baseline
    local stage seed setting runs base
    after everything
    for stage in "" -unfrozen; do
        runs=() base=()
        for setting in $ENCODERS $([ -n "$stage" ] || echo $FLOORS); do
            for seed in $DECODER_SEEDS; do
                runs+=("$(called "$setting")=$OUTPUT/outputs/$setting$stage-seed$seed")
                [ "$setting" != "$(baseline)" ] || base+=("${runs[-1]}")
            done
        done
        run "report$stage" report.py --runs "${runs[@]}" --baseline "${base[@]}" --output_dir "$OUTPUT/report$stage" \
            --title "$TITLE" --question "$QUESTION"
    done
}

called() {   # called SETTING: its name in the report, which knows the last two as floors
    case $1 in
    none) echo "no intermediate training" ;;
    english) echo "English-only" ;;
    random) echo "random encoder" ;;
    permuted) echo "permuted targets" ;;
    *) echo "$1" ;;
    esac
}

baseline() {   # English-only, or the first encoder where that is left out
    case " $ENCODERS " in *" english "*) echo english ;; *) echo "${ENCODERS%% *}" ;; esac
}

for setting in $ENCODERS; do
    case $setting in
    none | english | multilingual | robust) ;;
    *) fail "ENCODERS: $setting is unknown; choose from none english multilingual robust" ;;
    esac
done
[ -n "$ENCODERS" ] || fail "ENCODERS is empty; choose from none english multilingual robust"
for setting in $FLOORS; do
    case $setting in random | permuted) ;; *) fail "FLOORS: $setting is unknown; choose from random permuted" ;; esac
done
[ -n "$OPS" ] || fail "OPS is empty; this study is about noise, name operations of perturb.py"
if [ "$SCALE" = full ] && [ "$DRY_RUN" = 0 ] && [ ! -d "$PAIRS" ]; then
    fail "PAIRS=$PAIRS: no such folder; download it with:" \
        ".venv/bin/python download_data.py --tasks opus100 --languages $TRAINED --output_dir data/pairs"
fi
carry_out
