#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
set -euo pipefail
cd "$(dirname "$0")"

usage() {
    cat <<'END'
usage: tests/model/run.sh [--quick | --full] [--markdown] [--skip] [MODEL...]

Verifies the models of this folder (all, or those named) with SPIN, exhaustively: in the right ones no interleaving may
break an assertion; in each broken one, which leaves out or exchanges a step (-DBROKEN_...), or the bits of a version
(-DVERSION_BITS=0), an error must be found. Prints states, depth, seconds and MiB of each; fails if one is not as it
must be.

  --quick     a selection, half a minute; the meson test of suite `model`
  --full      also what takes minutes and 1 GiB
  --markdown  prints the table of docs/verification.md
  --skip      exit status 77 where spin or gcc is missing
  --help      this text

SPIN explores sequentially consistent interleavings; docs/memory-ordering.md argues what processors may exchange.
END
}

# model, options, what must come of it, when it is run, what it is about. ok: no error; error: a rule is broken and that
# is found; limit: an error that the documentation states.
list() {
    cat <<'END'
run          |                             |ok   |quick  |3 threads, an operation each
run          |THREADS=2 OPS=3              |ok   |default|2 threads, three operations each
run          |VERSION_BITS=0               |ok   |default|without the state's version
run          |THREADS=2 OPS=3 VERSION_BITS=0|ok  |default|the same
run          |PROGRESS                     |ok   |default|each round of a loop is another thread's success
run          |BROKEN_NO_FENCE              |error|quick  |free looks at the state before its addition
run          |BROKEN_NO_LOOK               |error|default|free does not look at the state
run          |BROKEN_NO_RECHECK            |error|default|who retires a run does not look at its words
run          |BROKEN_NO_SECOND_LOOK        |error|default|settle does not look again after its change
run          |BROKEN_NO_COLLECT            |error|default|the collector stores 0 in place of a CAS per word
run          |BROKEN_STAY_EMPTY            |error|default|a collector that misses a block leaves the run EMPTY
run          |BROKEN_KEEP_STRAY            |error|default|a stray is used
run          |BROKEN_WORDS_FIRST           |error|default|make shows the blocks before the state
run          |OPS=2 BROKEN_NO_CLASS_CHECK  |error|default|who takes a partial bit does not look at the class
heap         |                             |ok   |default|two headers, two runs, 3 threads
heap         |THREADS=2                    |ok   |quick  |the same with 2 threads
heap         |PROGRESS                     |ok   |default|each round of a loop is another thread's success
heap         |BROKEN_STORE_HEADER          |error|quick  |install stores in place of a CAS
heap         |BROKEN_NO_RETIRE             |error|default|the run that was replaced is not retired
heap         |BROKEN_RETIRE_ANYWAY         |error|default|reclaim stores in place of a CAS
chunks       |                             |ok   |quick  |a run made over the chunks of another, strays, hints
chunks       |BROKEN_BYTES_EARLY           |error|default|a run has no bytes before all blocks are collected
chunks       |BROKEN_BYTES_LATE            |error|default|a run has bytes when its chunks are free
chunks       |BROKEN_KEEP_BYTES            |error|default|a run has bytes for ever
chunks       |BROKEN_STORE_TAKEN           |error|default|chunks are taken by a store in place of a CAS
index        |                             |ok   |default|3 threads, of which one may die at any step
index        |DEATHS=0                     |ok   |quick  |3 threads
index        |DEATHS=0 PROGRESS            |ok   |default|each round of a loop is another thread's success
index        |VERSION_BITS=0               |error|default|ABA: without the version
index        |BROKEN_NO_BUMP               |error|default|a bit that is set is not bumped
index        |BROKEN_LATE_SNAPSHOT         |error|default|the ground is looked at before the snapshot
index        |BROKEN_LATE_SNAPSHOT_ABOVE   |error|default|the bank is looked at before the snapshot
index        |BROKEN_NO_SECOND_LOOK        |error|default|lower does not look at the ground again
index        |BROKEN_NO_SECOND_LOOK_ABOVE  |error|default|nor at the bank
index        |BROKEN_ONE_LEVEL_LOOK        |error|quick  |who does not bump relies on the bank's bit alone
index        |BROKEN_NO_FENCE              |error|default|the bits are looked at before the ground is changed
transfer     |                             |ok   |default|a place, a look, 2 threads with two operations each
transfer     |OPS=1                        |ok   |quick  |the same with one operation each
transfer     |OPS=1 DEATHS=1               |ok   |default|one of them may die at any step
transfer     |VERSION_BITS=0               |ok   |default|without the version
transfer     |BROKEN_STORE_WORD            |error|quick  |a place is taken by a store in place of a CAS
transfer     |BROKEN_PUT_FIRST             |error|default|a place is put before its pointers are written
transfer     |BROKEN_LOOK_ABOVE            |error|default|a look goes beyond the count
sections     |NO_LOOKER NO_DRAINER         |ok   |default|two threads and a handler on two CPUs
sections     |NO_LOOKER NO_SECOND          |ok   |default|a thread, its handler, and who empties a front
sections     |NO_LOOKER NO_HANDLER         |ok   |quick  |two threads, and who empties a front
sections     |NO_LOOKER NO_SECOND BATCHES  |ok   |default|batches
sections     |NO_HANDLER NO_SECOND         |ok   |default|a look for a double free
sections     |NO_LOOKER NO_HANDLER FORK    |ok   |default|the child of a fork at any moment
sections     |NO_HANDLER                   |ok   |full   |two threads, emptying, a look
sections     |NO_LOOKER                    |ok   |full   |two threads, a handler, emptying
sections     |NO_LOOKER BROKEN_GAP         |error|default|the section begins an instruction after rseq_cs is set
sections     |NO_LOOKER BROKEN_FRONT_OUTSIDE|error|default|the front is read before the section
sections     |NO_LOOKER BROKEN_COMMIT_FIRST|error|quick  |the top is stored before the slot
sections     |NO_LOOKER BROKEN_NO_MEMBARRIER|error|default|a front is emptied without membarrier
sections     |NO_LOOKER NO_HANDLER FORK BROKEN_COMMIT_FIRST|error|default|the same in the child
sections     |NO_HANDLER BROKEN_LOOK_ABOVE |error|default|a look goes above the top
kept         |OPS=1                        |ok   |quick  |3 threads, an operation each
kept         |THREADS=2 OPS=2              |ok   |default|2 threads, two operations each
kept         |THREADS=2 OPS=3              |ok   |default|2 threads, three operations each
kept         |BROKEN_STORE_SLOT            |error|quick  |a range is taken by a store in place of a CAS
kept         |BROKEN_JOIN_UNTAKEN          |error|default|a neighbour is joined that was not taken
kept         |BROKEN_PUT_OVER              |error|default|a range is put over another
kept         |BROKEN_LEAVE_LATE            |error|default|memory is kept before it leaves the page map
kept         |BROKEN_UNMAP_FIRST           |error|default|memory is unmapped before it is taken from its slot
double_free  |                             |ok   |quick  |a second free beside right ones
double_free  |BROKEN_NO_UNDO               |error|default|the second addition is not taken out
claims       |                             |ok   |quick  |a thread, its handler, and who empties its front
claims       |LEAVE                        |ok   |default|the handler may leave the call by siglongjmp
claims       |LEAVE END                    |ok   |default|the thread ends
claims       |LEAVE END FORK               |ok   |default|the child of a fork at any moment
claims       |BROKEN_NO_MEMBARRIER         |error|quick  |a front is emptied without membarrier
claims       |BROKEN_NO_LOOK_AT_CLAIM      |error|default|a claim that is set is not heeded
claims       |BROKEN_NO_LOOK_AT_DRAINER    |error|default|the thread does not look whether its front is being emptied
claims       |BROKEN_NO_LOOK_BY_DRAINER    |error|default|who empties does not look at the claim
claims       |LEAVE BROKEN_COMMIT_FIRST    |error|default|the top is stored before the slot
claims       |BROKEN_PAGES                 |error|default|pages of an empty front go back while a push is under way
claims       |END BROKEN_ENDING            |error|default|who empties does not heed claims of a thread that is ending
double_free  |TAKER                        |limit|default|a thread that takes in the window gets a block in use
double_free  |ACCUSED                      |limit|default|a right free in the window is accused
END
}

level=default markdown='' missing_status=1 optimization=-O2
while [[ ${1-} == --* ]]; do
    case $1 in
    --quick) level=quick optimization=-O1 ;; # compiling takes longer than searching
    --full) level=full ;;
    --markdown) markdown=1 ;;
    --skip) missing_status=77 ;;
    --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
for model; do
    if ! list | grep -q "^$model "; then
        echo "run.sh: no such model: $model" >&2
        exit 2
    fi
done
for tool in spin gcc; do
    if ! command -v "$tool" >/dev/null; then
        echo "run.sh: $tool is missing: tools/install_deps.sh build model installs it (Debian's package $tool)" >&2
        exit "$missing_status"
    fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=$PWD

# verify MODEL OPTIONS: leaves SPIN's report in $work/report and sets what it says.
verify() {
    local defines=() option
    for option in $2; do
        defines+=("-D$option")
    done
    cd "$work"
    rm -f ./*
    spin "${defines[@]}" -a "$models/$1.pml" >spin.log 2>&1 || { cat spin.log; return 1; }
    gcc -w "$optimization" -DSAFETY -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c
    ./pan -m100000 -n >report 2>&1 || true
    cd "$models"
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/report")
    depth=$(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' "$work/report")
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$work/report")
    seconds=$(sed -n 's/^pan: elapsed time \([0-9.e-]*\) seconds/\1/p' "$work/report")
    mib=$(sed -n 's/^ *\([0-9.]*\).*total actual memory usage/\1/p' "$work/report")
}

# Whether the search ended by itself: all states were seen, or an error was.
is_complete() {
    [ -n "$errors" ] && { [ "$errors" != 0 ] || ! grep -Eq 'not completed|max search depth too small|out of memory' \
        "$work/report"; }
}

# Whether what was found is what the model asserts, not a deadlock of its making.
is_as_expected() {
    is_complete || return 1
    case $1 in
    ok) [ "$errors" = 0 ] ;;
    *) [ "$errors" != 0 ] && grep -q 'assertion violated' "$work/report" ;;
    esac
}

show_row() { # EXPECTED ABOUT
    local outcome=$1
    case $1 in
    ok) outcome='no error' ;;
    error) outcome=found ;;
    limit) outcome='found, a stated limit' ;;
    esac
    if [ -n "$markdown" ]; then
        printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$model" "${options:+\`$options\`}" "$2" "$outcome" \
            "$states" "$depth" "${seconds:-0}" "${mib%.*}"
    else
        printf '%-11s %-37s %-12s %9s states, depth %3s, %6s s, %4s MiB: %s\n' "$model" "$options" "$outcome" \
            "$states" "$depth" "${seconds:-0}" "${mib%.*}" "$2"
    fi
}

is_asked_for() { # MODEL WHEN
    case $level:$2 in
    quick:default | quick:full | default:full) return 1 ;;
    esac
    [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

wanted=("$@")
good=0 bad=0
if [ -n "$markdown" ]; then
    echo '| model | options | what | outcome | states | depth | seconds | MiB |'
    echo '|---|---|---|---|---|---|---|---|'
fi
while IFS='|' read -r model options expected when about; do
    read -r model <<<"$model"
    read -r options <<<"$options"
    read -r expected <<<"$expected"
    read -r when <<<"$when"
    is_asked_for "$model" "$when" || continue
    if verify "$model" "$options" && is_as_expected "$expected"; then
        good=$((good + 1))
        show_row "$expected" "$about"
    else
        bad=$((bad + 1))
        echo "run.sh: $model $options: expected $expected, but SPIN says:"
        cat "$work/report" 2>/dev/null || true
    fi
done < <(list)
[ -n "$markdown" ] || echo "$good models as they must be, $bad not"
[ "$bad" -eq 0 ]
