#!/usr/bin/env bash
# A Ray cluster of several "machines" on this one: each node in a network, process and mount namespace of its own.
#
#   sudo cluster/local/nodes.sh up 2              a head without work on it, and two nodes
#   sudo cluster/local/nodes.sh add [OPTIONS]     one more node; OPTIONS go to `ray start`
#   sudo cluster/local/nodes.sh kill N            node N loses its power (0: the head)
#   sudo cluster/local/nodes.sh start N           it boots again
#   sudo cluster/local/nodes.sh freeze N | thaw N its processes stop and go on
#   sudo cluster/local/nodes.sh cut N | heal N    its network cable
#   sudo cluster/local/nodes.sh on N COMMAND…     run a command on node N
#   sudo cluster/local/nodes.sh list | down
#
# The jobs' address is http://10.77.0.10:8265, from this machine alone, for those who may read the token: set
# RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=/tmp/w2s-nodes/token. Needs root, iproute2, util-linux, and `ray` on
# the path (or W2S_BIN, the folder of a virtual environment's programs). CPUs of each node: W2S_CPUS (1).
set -euo pipefail

state=${W2S_NODES:-/tmp/w2s-nodes}
bin=${W2S_BIN:-}
cpus=${W2S_CPUS:-1}
bridge=w2s-br
head=10.77.0.10
PATH=${bin:+$bin:}$PATH
export RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1 RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$state/token

die() { echo "nodes.sh: $*" >&2; exit 2; }
nodes() { find "$state" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' 2>/dev/null | sort -n; }
address() { echo "10.77.0.$((10 + $1))"; }
running() { [[ -f $state/$1/pid && $(ps -o stat= -p "$(cat "$state/$1/pid")") == [!Z]* ]]; }
known() { [[ -d $state/${1:?which node?} ]] || die "there is no node $1; there are: $(nodes | xargs)"; }

cable() { # a network namespace with one cable to the bridge
    ip netns add "w2s-$1"
    ip link add "w2s-v$1" type veth peer name eth0 netns "w2s-$1"
    ip link set "w2s-v$1" master "$bridge" up
    ip -n "w2s-$1" addr add "$(address "$1")/24" dev eth0
    ip -n "w2s-$1" link set lo up
    ip -n "w2s-$1" link set eth0 up
}

boot() { # the node's processes; the first of them is process 1 of its namespace, so that all end with it
    local folder=$state/$1 ours=$state/$1/tmp
    mkdir -p "$ours"
    rm -rf "${ours:?}"/*
    if [[ $1 == 0 ]]; then
        set -- 0 --head --port=6379 --dashboard-host="$head" --include-dashboard=true --num-cpus=0
    else
        set -- "$1" --address="$head:6379" $(cat "$folder/options")
    fi
    # shellcheck disable=SC2016
    setsid ip netns exec "w2s-$1" unshare --pid --fork --mount --mount-proc --kill-child bash -c '
        mkdir -p /tmp/ray && mount --bind "$1" /tmp/ray && shift && exec ray start --block --disable-usage-stats "$@"
    ' node "$ours" --node-ip-address="$(address "$1")" --object-store-memory=100000000 "${@:2}" \
        >"$folder/log" 2>&1 </dev/null &
    echo $! >"$folder/pid"
    disown
}

cables() { ip netns list | sed -n 's/^w2s-\([0-9][0-9]*\)\b.*/\1/p'; }

clear_away() { # networks outlive the processes that made them
    local n
    for n in $(cables); do
        ip netns pids "w2s-$n" | xargs -r kill -KILL 2>/dev/null || true
        ip link del "w2s-v$n" 2>/dev/null || true # its namespace goes a little later
        ip netns del "w2s-$n"
    done
    ip link del "$bridge" 2>/dev/null || true
}

started() { grep -q 'Ray runtime started' "$state/$1/log" 2>/dev/null; }

wait_for() { # node N is part of the cluster
    local until=$((SECONDS + 60))
    while ! started "$1"; do
        ((SECONDS < until)) || { tail -n 20 "$state/$1/log" >&2; die "node $1 did not start within 60 s"; }
        sleep .3
    done
}

case ${1:-} in
up)
    [[ -d $state ]] && die "$state is there: a cluster is up; nodes.sh down ends it"
    [[ $(id -u) == 0 ]] || die "namespaces need root: use sudo"
    command -v ray >/dev/null || die "no ray on the path; activate the virtual environment, or set W2S_BIN"
    for n in $(cables); do
        [[ -z $(ip netns pids "w2s-$n") ]] || die "a cluster is up, of another W2S_NODES; nodes.sh down ends it"
    done
    clear_away
    mkdir -p "$state"
    (umask 077 && head -c 24 /dev/urandom | base64 >"$state/token")
    ip link add "$bridge" type bridge
    ip addr add 10.77.0.1/24 dev "$bridge"
    ip link set "$bridge" up
    for ((n = 0; n <= ${2:-2}; n++)); do
        mkdir "$state/$n"
        echo "--num-cpus=$cpus" >"$state/$n/options"
        cable "$n"
        boot "$n"
        ((n > 0)) || wait_for 0 # the others look for it once
    done
    for ((n = 1; n <= ${2:-2}; n++)); do wait_for "$n"; done
    echo "jobs: http://$head:8265   Ray: $head:6379 (on the nodes)"
    ;;
add)
    [[ -d $state ]] || die "no cluster is up; nodes.sh up starts one"
    shift
    n=$(($(nodes | tail -n 1) + 1))
    mkdir "$state/$n"
    echo "--num-cpus=$cpus $*" >"$state/$n/options"
    cable "$n"
    boot "$n"
    wait_for "$n"
    echo "$n"
    ;;
kill)
    known "${2:-}"
    pkill -KILL --parent "$(cat "$state/$2/pid")" || true
    kill -KILL "$(cat "$state/$2/pid")" 2>/dev/null || true
    ;;
start)
    known "${2:-}"
    running "$2" && die "node $2 is running"
    boot "$2"
    wait_for "$2"
    ;;
freeze | thaw)
    known "${2:-}"
    signal=$([[ $1 == freeze ]] && echo STOP || echo CONT)
    ip netns pids "w2s-$2" | xargs -r kill "-$signal"
    ;;
cut) known "${2:-}" && ip link set "w2s-v$2" down ;;
heal) known "${2:-}" && ip link set "w2s-v$2" up ;;
on)
    known "${2:-}"
    first=$(pgrep --parent "$(cat "$state/$2/pid")" | head -n 1)
    exec nsenter --target "${first:?node $2 is down}" --net --mount --pid --wdns="$PWD" -- "${@:3}"
    ;;
list)
    for n in $(nodes); do
        echo "$n $(address "$n") $(running "$n" && echo up || echo down)"
    done
    ;;
down)
    for n in $(nodes); do
        pkill -KILL --parent "$(cat "$state/$n/pid" 2>/dev/null || echo 0)" 2>/dev/null || true
    done
    clear_away
    rm -rf "$state"
    ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
