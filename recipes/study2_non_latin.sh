#!/usr/bin/env bash
# Study 2: does natural language inference as intermediate task close the gap between Latin and other scripts?
#   bash recipes/study2_non_latin.sh                              toy size: an invented world, on a laptop
#   SCALE=full bash recipes/study2_non_latin.sh                   xlm-roberta-large on real data, on a node with GPUs
#   SCALE=full GPUS=8 DRY_RUN=1 bash recipes/study2_non_latin.sh  commands, GPU hours, disk space; touches nothing
# The same command goes on where it was stopped. Every setting below can be given in the environment, as in
#   TARGETS="xnli udpos" SEEDS="1 2 3" OUTPUT=here bash recipes/study2_non_latin.sh
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

INTERMEDIATES=${INTERMEDIATES-anli anli_plus mnli}   # ANLI+ is ANLI, MNLI and SNLI on one head
OPS=${OPS-swap}   # applies to every script, so Latin and non-Latin meet the same noise
case $SCALE in
toy)
    TARGETS=${TARGETS:-xnli panx tatoeba}
    LEVELS=${LEVELS:-3}
    SEEDS=${SEEDS:-1 2}   # of phase 3
    PHASE2_FLAGS=${PHASE2_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 6 --collapse_guard off}
    PHASE3_FLAGS=${PHASE3_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 3}
    ;;
full)   # the tasks' own settings
    TARGETS=${TARGETS:-xnli pawsx udpos panx xquad mlqa tydiqa xcopa bucc2018 tatoeba}
    LEVELS=${LEVELS:-1 2 3}
    SEEDS=${SEEDS:-1 2 3}
    PHASE2_FLAGS=${PHASE2_FLAGS---selection_samples 500 --restart_on_collapse 2}
    PHASE3_FLAGS=${PHASE3_FLAGS-}
    ;;
esac
OUTPUT=${OUTPUT:-studies/non-latin-$SCALE}
WORST_OF=${WORST_OF-}
REPLICATES=${REPLICATES:-3}
TITLE="Study 2: intermediate NLI and non-Latin scripts ($SCALE size)"
QUESTION="Does intermediate natural language inference help languages outside English, and those in non-Latin scripts most?"

carry_out
