#!/usr/bin/env bash
# Study 4: does intermediate training line languages up better, and does that survive noise and fine-tuning?
#   bash recipes/study4_alignment.sh                              toy size: an invented world, on a laptop
#   SCALE=full bash recipes/study4_alignment.sh                   xlm-roberta-large on real data, on a node with GPUs
#   SCALE=full GPUS=8 DRY_RUN=1 bash recipes/study4_alignment.sh  commands, GPU hours, disk space; touches nothing
# The same command goes on where it was stopped. Every setting below can be given in the environment, and beside those
# of common.sh:
#   PARALLEL          parallel text, <folder>/parallel/<set>; default: Tatoeba of DATA_DIR
#   ATTACKED          further conditions, "NAME=DIR …", of attacked copies of the parallel text
#   ALIGN_FLAGS       further flags of run_alignment.py, such as --words or --max_lines 300
# shellcheck source-path=SCRIPTDIR disable=SC2086
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case $SCALE in
toy)
    INTERMEDIATES=${INTERMEDIATES-mnli squad mnli+squad}   # one encoder each; + mixes tasks
    TARGETS=${TARGETS:-xnli}                               # whose fine-tuned encoders are measured too
    OPS=${OPS-keyboard swap}
    LEVELS=${LEVELS:-1 3}
    PHASE2_FLAGS=${PHASE2_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 6 --collapse_guard off}
    PHASE3_FLAGS=${PHASE3_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 3}
    ;;
full)   # the tasks' own settings; `all` is the nine together
    INTERMEDIATES=${INTERMEDIATES-anli_plus mnli qqp squad_v2 squad hellaswag ccg cosmos_qa commonsense_qa all}
    TARGETS=${TARGETS:-xnli panx xquad}
    OPS=${OPS-keyboard swap delete homoglyph}
    LEVELS=${LEVELS:-1 2 3}
    PHASE2_FLAGS=${PHASE2_FLAGS---selection_samples 500 --restart_on_collapse 2}
    PHASE3_FLAGS=${PHASE3_FLAGS-}
    ;;
esac
SEEDS=${SEEDS:-1}               # of phase 3; the first one's encoder is measured
OUTPUT=${OUTPUT:-studies/alignment-$SCALE}
WORST_OF=${WORST_OF-}
REPLICATES=${REPLICATES:-3}
PHASE2_SEEDS=${PHASE2_SEEDS:-1} # one encoder per setting is measured; for others: PHASE2_SEEDS=2 OUTPUT=elsewhere
ATTACKED=${ATTACKED-} ALIGN_FLAGS=${ALIGN_FLAGS-}
TITLE="Study 4: alignment, noise and transfer ($SCALE size)"

study() {
    local setting target seed first=${SEEDS%% *} encoder
    starting_point
    noised_copies
    parallel_copies

    for setting in $INTERMEDIATES; do
        phase2 "$setting" "$PHASE2_SEEDS"
    done
    for setting in direct $INTERMEDIATES; do
        encoder=$OUTPUT/outputs/$setting
        [ "$setting" != direct ] || encoder=$MODEL
        after pretrained lines "$setting"
        align "$setting" "$encoder"
        for target in $TARGETS; do
            for seed in $SEEDS; do
                phase3 "$setting" "$target" "$seed"
            done
        done
    done
    for setting in direct $INTERMEDIATES; do   # phase 3's encoders, fine-tuned in English
        for target in $TARGETS; do
            after "$setting-$target-seed$first"
            align "$setting-$target" "$OUTPUT/outputs/$setting-$target-seed$first"
        done
    done
    report
}

parallel_copies() {   # the parallel text under the same operations and levels
    local folder=$DATA_DIR task=tatoeba
    PARALLEL=${PARALLEL:-$DATA_DIR/tatoeba}
    [ "$PARALLEL" = "$DATA_DIR/tatoeba" ] || folder=$(dirname "$(dirname "$PARALLEL")") task=lines
    [ -z "$OPS" ] || run lines perturb.py --data_dir "$folder" --output_dir "$OUTPUT/parallel" --tasks $task \
        ${LANGUAGES:+--languages ${FOREIGN}} $PERTURB_FLAGS --ops $OPS --levels $LEVELS
    after lines
}

align() {   # align NAME ENCODER: clean, noised and attacked text
    local given=() op level
    for op in $OPS; do
        for level in $LEVELS; do   # noise that applies to no language has no folder
            [ "$total" != 0 ] && [ ! -d "$OUTPUT/parallel/$op-$level" ] ||
                given+=("$op-$level=$OUTPUT/parallel/$op-$level")
        done
    done
    given+=($ATTACKED)
    train "$1-alignment" run_alignment.py --data_dir "$PARALLEL" --model_name_or_path "$2" \
        ${given[@]+--conditions "${given[@]}"} ${LANGUAGES:+--languages ${FOREIGN}} $ALIGN_FLAGS
}

report() {   # the baseline's alignment is that of its encoder before fine-tuning
    local target baselines=("$OUTPUT/outputs/direct-alignment")
    for target in $TARGETS; do baselines+=("$OUTPUT/outputs/direct-$target-seed*"); done
    after everything
    run report report.py --runs "$OUTPUT/outputs/*" --baseline "${baselines[@]}" --output_dir "$OUTPUT/report" \
        --title "$TITLE"
}

carry_out
