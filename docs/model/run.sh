#!/usr/bin/env bash
# Checks claim.pml with Spin, exhaustively: the protocol as it is shipped must
# have no violation, and each switch, which puts a known bug in, must have one.
# README.md beside this file explains both.
#
#   run.sh          everything: what CI runs
#   run.sh quick    2 hosts, fewer faults, some of the switches: seconds
#   run.sh NAME     one line of the table; of a switch, also the steps that lead
#                   to the violation, as few as there are
#
# Seconds are the processor's, with those of the compiler.
#
# Needs spin and gcc. Exit status: 0 = as it should be, 1 = not, 2 = it couldn't
# be found out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for tool in spin gcc; do
	command -v "$tool" >/dev/null || { echo "run.sh: $tool is missing" >&2; exit 2; }
done
tmp=$(mktemp -d "${TMPDIR:-/tmp}/modelXXXX")
trap 'rm -rf "$tmp"' EXIT

# What is shipped: name, then what it is made with. All of it must be searched.
shipped=(
	"accept     -DACCEPTING -DFAULTS=3"
	"translate  -DTRANSLATING -DFAULTS=3"
	"submit     -DSUBMITTING -DFAULTS=3"
	"copies     -DSUBMITTING -DTWO_COPIES -DFAULTS=2"
	"ghosts     -DSUBMITTING -DSWEEP -DFAULTS=1"
	"ghosts-2   -DSUBMITTING -DSWEEP -DHOSTS=2 -DFAULTS=2"
	"birth      -DTRANSLATING -DBIRTH -DFAULTS=2"
	"gap        -DTRANSLATING -DGAP -DFAULTS=2"
	"chain      -DHOSTS=2 -DFAULTS=2"
)
quick=(
	"accept     -DACCEPTING -DHOSTS=2 -DFAULTS=2"
	"translate  -DTRANSLATING -DHOSTS=2 -DFAULTS=2"
	"submit     -DSUBMITTING -DHOSTS=2 -DFAULTS=2"
)
quickly="NO_SEAL DROP_EARLY"

# Bugs, one switch each, with what they are looked for in.
bugs=(
	"NO_GATE            -DACCEPTING -DFAULTS=0"
	"GATE_BY_ERROR      -DACCEPTING -DFAULTS=1"
	"ACCEPT_DROPPED     -DACCEPTING -DFAULTS=1"
	"NO_SEAL            -DTRANSLATING -DFAULTS=1"
	"FENCE_BY_MOVE      -DTRANSLATING -DFAULTS=1"
	"DROP_EARLY         -DTRANSLATING -DFAULTS=1"
	"ENOENT_LOST        -DTRANSLATING -DFAULTS=1"
	"ENOENT_DONE        -DTRANSLATING -DFAULTS=1"
	"ASK_ONCE           -DTRANSLATING -DFAULTS=2"
	"NOT_SEEN           -DTRANSLATING -DFAULTS=1"
	"DRAFTS_FIRST       -DTRANSLATING -DFAULTS=1"
	"NAME_REUSED        -DTRANSLATING -DFAULTS=1"
	"EPOCH_ADOPTED      -DTRANSLATING -DFAULTS=0"
	"NO_EXIT_GATE       -DSUBMITTING -DTWO_COPIES -DFAULTS=0"
	"RELEASE_BEFORE_SEAL -DSUBMITTING -DFAULTS=1"
	"RELEASE_BY_NAME    -DSUBMITTING -DFAULTS=2"
	"LOSER_CANCELS      -DSUBMITTING -DFAULTS=2"
	"CANCEL_ON_ABSENCE  -DSUBMITTING -DFAULTS=0"
)

what=${1:-all}
failed=0
known=
printf '%-20s %10s %7s  %s\n' configuration states seconds verdict

# processor sets cpu to the seconds of it that the programs which were run took.
processor() {
	times >"$tmp/times"
	cpu=$(awk 'NR == 2 { split($1, a, /[ms]/); printf "%.1f", a[1] * 60 + a[2] }' "$tmp/times")
}

# check NAME WANT SWITCHES...: WANT is "none" or "some".
check() {
	local name=$1 want=$2 dir=$tmp/$1 from states verdict optimise
	shift 2
	processor
	from=$cpu
	mkdir "$dir"
	cd "$dir"
	spin -a "$@" "$here/claim.pml" >spin.out 2>&1 || { cat spin.out; exit 2; }
	# A search for a bug is over sooner than a compiler that takes pains.
	[ "$want" = none ] && [ "$what" != quick ] && optimise=-O2 || optimise=-O0
	gcc "$optimise" -w -DSAFETY -DNOREDUCE -DMEMLIM=7000 -o pan pan.c
	./pan -m100000 -w22 >pan.out 2>&1 || true
	states=$(awk '/states, stored/ { print $1 }' pan.out)
	if grep -qE 'max search depth too small|out of memory|Search not completed' pan.out && ! grep -q 'errors: [1-9]' pan.out; then
		verdict="not searched to the end"
	elif grep -q 'errors: 0' pan.out; then
		verdict=none
	elif grep -q 'errors: [1-9]' pan.out; then
		verdict=some
	else
		verdict="no answer"
	fi
	case $want,$verdict in
	none,none) verdict="no violation" ;;
	some,some) verdict="violation: $(why)" ;;
	none,some) verdict="VIOLATION: $(why)"; failed=1 ;;
	some,none) verdict="NO VIOLATION, though it should have one"; failed=1 ;;
	*) tail -5 pan.out; failed=1 ;;
	esac
	processor
	printf '%-20s %10s %7s  %s\n' "$name" "${states:-?}" "$(awk "BEGIN { print $cpu - $from }")" "$verdict"
	cd "$here"
}

# why says which assertion of claim.pml it was.
why() {
	local text
	text=$(sed -n 's/^pan:[0-9]*: \(.*\) (at depth.*/\1/p' pan.out | head -1)
	case $text in
	*'(released<=1)') echo "two jobs of it were released" ;;
	*'(place[0]==0)') echo "it came in twice" ;;
	*'(place[1]==0)') echo "it is in two places" ;;
	*'(place[1]!=0)') echo "it is lost, since its output is" ;;
	*'&2)!=0))||(gate!='*) echo "it is lost, since the draft that has the gate is" ;;
	*'(gen[f]==g)') echo "a late rename took it under a name that came again" ;;
	*'!(((id[1]==(c+1))'*) echo "the job that was sealed is cancelled" ;;
	*'(job[c]!=3)') echo "the job that is sealed was cancelled" ;;
	*'assertion violated (('*) echo "nobody can do anything, and it is not done" ;;
	*) echo "$text" ;;
	esac
}

# shortest NAME SWITCHES...: a way to the violation, breadth first, step by step.
shortest() {
	cd "$tmp/$1"
	shift
	gcc -O0 -w -DSAFETY -DNOREDUCE -DBFS -DMEMLIM=7000 -o bfs pan.c
	./bfs -w22 >bfs.out 2>&1 || true
	spin -k claim.pml.trail -t -p "$@" "$here/claim.pml" | grep -E '^ *[0-9]+:.*proc|assertion|#processes' || true
}

case $what in
quick) list=("${quick[@]}") ;;
*) list=("${shipped[@]}") ;;
esac
for line in "${list[@]}"; do
	read -ra word <<<"$line"
	case $what in
	all | quick | "${word[0]}")
		known=1
		check "${word[0]}" none "${word[@]:1}"
		;;
	esac
done
for line in "${bugs[@]}"; do
	read -ra word <<<"$line"
	word[0]=-D${word[0]}
	name=${word[0]#-D}
	case $what in
	all) ;;
	quick) [[ " $quickly " == *" $name "* ]] || continue ;;
	"$name") ;;
	*) continue ;;
	esac
	known=1
	check "$name" some "${word[@]}"
	[ "$what" != "$name" ] || shortest "$name" "${word[@]}"
done
[ -n "$known" ] || { echo "run.sh: nothing is called $what" >&2; exit 2; }
exit "$failed"
