#!/usr/bin/env bash
# XTREME-R whole: its ten tasks trained in English and predicted, XCOPA after SIQA with its head, and their average.
#   bash recipes/xtreme_r.sh                                toy size: an invented world, on a laptop
#   SCALE=full bash recipes/xtreme_r.sh                     xlm-roberta-large on real data, on a node with GPUs
#   SCALE=full GPUS=8 DRY_RUN=1 bash recipes/xtreme_r.sh    commands, GPU hours, disk space; touches nothing
# Writes OUTPUT/outputs/<task>-seed<n>, OUTPUT/scores/seed<n>.json (tasks, groups, overall) and OUTPUT/report, which has
# the average over seeds with its interval. The same command goes on where it was stopped.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

TARGETS=${TARGETS:-xnli xcopa udpos panx xquad mlqa tydiqa tatoeba lareqa mewslix}
INTERMEDIATES=siqa OPS="" LEVELS="" WORST_OF="" REPLICATES=1
case $SCALE in
toy)   # the invented world has nine languages: the average is of these alone
    SEEDS=${SEEDS:-1}
    LANGUAGES_SCORED=${LANGUAGES_SCORED-en de sw ru ar hi th ko zh}
    PHASE2_FLAGS=${PHASE2_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 4 --collapse_guard off}
    PHASE3_FLAGS=${PHASE3_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 3}
    ;;
full)   # the tasks' own settings
    SEEDS=${SEEDS:-1 2 3}
    LANGUAGES_SCORED=${LANGUAGES_SCORED-}
    PHASE2_FLAGS=${PHASE2_FLAGS-}
    PHASE3_FLAGS=${PHASE3_FLAGS-}
    ;;
esac
OUTPUT=${OUTPUT:-studies/xtreme-r-$SCALE}
PHASE2_SEEDS=${PHASE2_SEEDS:-1}   # of siqa: one encoder
TITLE="XTREME-R ($SCALE size)"

study() {   # in place of common.sh's: one encoder, all tasks, no noise
    local target seed places runs=()
    starting_point
    phase2 siqa "$PHASE2_SEEDS"
    for seed in $SEEDS; do
        for target in $TARGETS; do task "$target" "$seed"; done
    done
    after everything
    for seed in $SEEDS; do
        places=()
        for target in $TARGETS; do
            [ "$target" != tatoeba ] || [ "$seed" = "${SEEDS%% *}" ] || continue
            runs+=("xtreme-r=$OUTPUT/outputs/$target-seed$seed")
        done
        for target in $TARGETS; do
            [ "$target" = tatoeba ] && places+=("$OUTPUT/outputs/$target-seed${SEEDS%% *}/predictions/clean") ||
                places+=("$OUTPUT/outputs/$target-seed$seed/predictions/clean")
        done
        run "scores-seed$seed" score.py --predictions "${places[@]}" --data_dir "$DATA_DIR" --benchmark xtreme-r \
            ${LANGUAGES_SCORED:+--languages $LANGUAGES_SCORED} --output_file "$OUTPUT/scores/seed$seed.json"
    done
    after everything   # the scores are written whatever becomes of the report
    run report report.py --runs "${runs[@]}" --baseline "${runs[@]}" --output_dir "$OUTPUT/report" --title "$TITLE"
}

task() {   # task TARGET SEED: trained in English, predicted in all languages
    local encoder=$MODEL flags=(--do_train --do_eval)
    after pretrained siqa
    case $1 in
    tatoeba)   # trains nothing: one run says all
        [ "$2" = "${SEEDS%% *}" ] || return 0
        flags=()
        ;;
    xcopa) encoder=$OUTPUT/outputs/siqa flags+=(--keep_head siqa) ;;
    udpos | panx) flags+=(--tag_piece "${TAG_PIECE:-first}") ;;   # XTREME-R's protocol
    esac
    [ "$1" = tatoeba ] || flags+=($PHASE3_FLAGS)
    train "$1-seed$2" run_xtreme.py --task "$1" --data_dir "$DATA_DIR" --model_name_or_path "$encoder" --seed "$2" \
        --do_predict --conditions "clean=$DATA_DIR" ${LANGUAGES:+--languages $LANGUAGES} ${flags[@]+"${flags[@]}"}
}

carry_out
