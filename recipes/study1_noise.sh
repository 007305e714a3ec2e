#!/usr/bin/env bash
# Study 1: what does English intermediate training do to zero-shot transfer when the test text is noised?
#   bash recipes/study1_noise.sh                                toy size: an invented world, on a laptop
#   SCALE=full bash recipes/study1_noise.sh                     xlm-roberta-large on real data, on a node with GPUs
#   SCALE=full GPUS=8 DRY_RUN=1 bash recipes/study1_noise.sh    commands, GPU hours, disk space; touches nothing
# The same command goes on where it was stopped. Every setting below can be given in the environment, as in
#   TARGETS="xnli udpos" SEEDS="1 2 3" OUTPUT=here bash recipes/study1_noise.sh
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case $SCALE in
toy)
    INTERMEDIATES=${INTERMEDIATES-mnli squad mnli+squad}   # one encoder each; + mixes tasks
    TARGETS=${TARGETS:-xnli panx tatoeba}
    OPS=${OPS-keyboard swap homoglyph}
    LEVELS=${LEVELS:-1 3}
    SEEDS=${SEEDS:-1 2}                                    # of phase 3
    PHASE2_FLAGS=${PHASE2_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 6 --collapse_guard off}
    PHASE3_FLAGS=${PHASE3_FLAGS---learning_rate 5e-4 --max_seq_length 128 --num_train_epochs 3}
    ;;
full)   # the tasks' own settings; `all` is the nine together
    INTERMEDIATES=${INTERMEDIATES-anli_plus mnli qqp squad_v2 squad hellaswag ccg cosmos_qa commonsense_qa all}
    TARGETS=${TARGETS:-xnli pawsx udpos panx xquad mlqa tydiqa xcopa bucc2018 tatoeba}
    OPS=${OPS-keyboard swap delete insert homoglyph mixed}
    LEVELS=${LEVELS:-1 2 3}
    SEEDS=${SEEDS:-1 2 3}
    PHASE2_FLAGS=${PHASE2_FLAGS---selection_samples 500 --restart_on_collapse 2}
    PHASE3_FLAGS=${PHASE3_FLAGS-}
    ;;
esac
OUTPUT=${OUTPUT:-studies/noise-$SCALE}
WORST_OF=${WORST_OF-swap-${LEVELS##* }}   # this condition is drawn REPLICATES times, for the worst of k; empty: none
REPLICATES=${REPLICATES:-3}
TITLE="Study 1: intermediate training and noise ($SCALE size)"
QUESTION="Does English intermediate training help zero-shot transfer to other languages, on clean and on noised text?"

carry_out
