#!/usr/bin/env bash
# What protection costs a Redis client, and what a failover does: redis-benchmark against `colo serve`, without protection, with a
# checkpoint every 5, 25 and 100 ms, and with both machines executing; then a campaign of failovers. Prints Markdown, and writes
# measured.json and measured.svg to the directory that it is given (the current one, if none is).
#
#     examples/non-stop-redis/measure.sh [DIRECTORY]
#
# COLO=PATH         a colo that has been built already; without, a release build is made
# REQUESTS=N        requests of each kind in each row (20000)
# SLOW_REQUESTS=N   the same where a request waits for a checkpoint (2000)
# FAILOVERS=N       primaries that are killed (100)
#
# No root is needed: the service is at a port of the loopback interface, by a forwarder, and so in every row.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
directory=${1:-.}
requests=${REQUESTS:-20000}
slow_requests=${SLOW_REQUESTS:-2000}
failovers=${FAILOVERS:-100}
connections=50

stop() { printf '%s: %s\n' "$0" "$1" >&2; exit 1; }
for command in redis-benchmark redis-cli jq awk; do
    command -v $command >/dev/null || stop "there is no $command: apt-get install redis-tools jq"
done
[ -d "$directory" ] || stop "$directory is no directory"
if [ -z "${COLO:-}" ]; then
    (cd "$root" && cargo build --release --quiet)
    COLO=$root/target/release/colo
fi

work=$(mktemp -d)
service=
finish() {
    [ -z "$service" ] || kill -INT "$service" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Begins a service of these words, and finds its port.
serve() {
    "$COLO" serve "$@" --port 0 --json >"$work/events" 2>"$work/errors" &
    service=$!
    for _ in $(seq 200); do
        port=$(sed -n 's/.*"address":"127.0.0.1:\([0-9]*\)".*/\1/p' "$work/events" | head -n 1)
        if [ -n "$port" ] && [ "$(timeout 10 redis-cli -p "$port" PING 2>/dev/null)" = PONG ]; then return; fi
        sleep 0.05
    done
    cat "$work/errors" >&2
    stop "colo serve $* does not answer"
}

# Ends it; it fails if anything was wrong with it.
end() {
    kill -INT "$service"
    wait "$service" || stop "the service failed: $(tail -n 1 "$work/events")"
    service=
}

# A row: its name, its interval in ms (0 for none), the requests of each kind, and the words of the service.
row() {
    local name=$1 interval=$2 count=$3
    shift 3
    serve "$@" --memory-mib 128
    for command in set get; do
        # A client that loses its connections would go on for ever.
        timeout 300 redis-benchmark -p "$port" -t $command -c $connections -n "$count" --csv 2>"$work/errors" | tail -n 1 \
            || { cat "$work/errors" >&2; stop "redis-benchmark failed against colo serve $*"; }
        # Connections that end take the guest some room until they have.
        sleep 1
    done >"$work/csv"
    end
    # "test","rps","avg","min","p50","p95","p99","max": milliseconds.
    tr -d '"' <"$work/csv" | awk -F, -v name="$name" -v interval="$interval" -v count="$count" '{
        printf "{\"name\":\"%s\",\"interval_ms\":%d,\"command\":\"%s\",\"requests\":%d,", name, interval, $1, count
        printf "\"requests_per_second\":%s,\"p50_ms\":%s,\"p99_ms\":%s,\"max_ms\":%s}\n", $2, $5, $7, $8
    }' >>"$work/rows"
}

row unprotected 0 "$requests" --unprotected
for rules in fast remus; do
    for interval in 5 25 100; do
        row "$rules" $interval "$slow_requests" "$rules" --interval-ms $interval
    done
done
row hybrid 200 "$requests" "$root/examples/hybrid.toml" --interval-ms 200

"$COLO" serve fast --interval-ms 5 --failovers "$failovers" --seed 1 --port 0 --json >"$work/campaign" \
    || stop "the campaign of failovers failed: $(tail -n 1 "$work/campaign")"

jq -s --slurpfile campaign <(tail -n 1 "$work/campaign") \
    '{schema: 1, connections: '$connections', rows: ., failovers: $campaign[0]}' "$work/rows" >"$directory/measured.json"

cat <<'TABLE'
| service | interval, ms | command | requests/s | of unprotected | p50, ms | p99, ms | p50 against unprotected |
|---|---|---|---|---|---|---|---|
TABLE
jq -r '.rows as $rows | $rows[] | . as $row
    | ($rows[] | select(.name == "unprotected" and .command == $row.command)) as $alone
    | [.name, (if .interval_ms == 0 then "" else .interval_ms end), .command, (.requests_per_second | floor),
       ((100 * .requests_per_second / $alone.requests_per_second * 10 | round) / 10 | tostring + " %"),
       .p50_ms, .p99_ms, ((.p50_ms / $alone.p50_ms * 10 | round) / 10 | tostring + " times")]
    | "| " + (map(tostring) | join(" | ")) + " |"' "$directory/measured.json"

printf '\n%s failovers at 5 ms under 8 connections, microseconds:\n\n| | p50 | p90 | p99 | max |\n|---|---|---|---|---|\n' "$failovers"
jq -r '.failovers.campaign as $campaign
    | ["found_out_us", "took_over_us", "answered_us", "longest_wait_us", "request_us"][] as $part
    | "| \($part | rtrimstr("_us") | gsub("_"; " ")) | " + ([$campaign[$part] | .p50, .p90, .p99, .max | tostring] | join(" | ")) + " |"' \
    "$directory/measured.json"
jq -r '.failovers | "\n\(.campaign.answered) requests answered, \(.campaign.increments) of them increments; \(.connections.reset) connections reset; \(.campaign.violations | length) violations"' \
    "$directory/measured.json"

# Beside it: what others have published, and what it cannot be less than.
cat <<'OTHERS'

| elsewhere | what was published |
|---|---|
| Remus (Cully et al., NSDI 2008), Xen | a checkpoint as often as every 25 ms, output withheld until it has been replicated; seconds of downtime at a failover |
| RemusDB (Minhas et al., VLDB Journal 22, 2013), Remus under databases | up to 32 % of throughput lost before it was optimised; 3 s of downtime at a failover |
| COLO (Dong et al., SoCC 2013), Xen | both machines execute, output leaves when it is alike, and a difference makes a checkpoint: an answer waits for the other machine, not for an interval |

| bound at an interval of *T* | |
|---|---|
| p50 of a request that comes at any time, periodic | (*T* + pause) / 2 + release: [measured under an open load](../../docs/src/load.md#by-the-interval-not-by-the-copy) |
| p50 of clients that ask again as soon as they are answered, periodic | *T* + pause: each waits for a whole interval; N connections have N answers an interval, and no more |
| pause of a checkpoint without dirty pages | 0.13 ms (0.07 if the machine goes on before the secondary has it), 0.54 ms (0.20) with 1 MiB dirty |
| hybrid | a round trip between the machines, and no interval |
OTHERS

# Two curves: p50 of SET by the interval, with the rows that have none as lines across.
jq -r '.rows[] | select(.command == "SET") | [.name, .interval_ms, .p50_ms] | @tsv' "$directory/measured.json" | awk -F'\t' '
    function x(ms) { return 60 + 480 * log(ms / 4) / log(125 / 4) }
    function y(ms) { return 300 - 260 * log(ms / 0.1) / log(2000) }
    BEGIN {
        print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 350\" font-family=\"sans-serif\" font-size=\"12\">"
        print "<rect width=\"640\" height=\"350\" fill=\"white\"/>"
        print "<text x=\"60\" y=\"20\">p50 of SET, ms, by the interval between checkpoints, ms (" '$connections' " connections)</text>"
        for (ms = 0.1; ms < 150; ms *= 10)
            printf "<path d=\"M60 %.0fH540\" stroke=\"#ddd\"/><text x=\"20\" y=\"%.0f\">%s</text>\n", y(ms), y(ms) + 4, ms
        split("5 25 100", ticks, " ")
        for (i = 1; i <= 3; i++) printf "<text x=\"%.0f\" y=\"320\">%s</text>\n", x(ticks[i]) - 6, ticks[i]
        colour["fast"] = "#1565c0"; colour["remus"] = "#c62828"; colour["hybrid"] = "#2e7d32"; colour["unprotected"] = "#555"
    }
    $1 == "fast" || $1 == "remus" {
        path[$1] = path[$1] (path[$1] == "" ? "M" : "L") sprintf("%.1f %.1f", x($2), y($3))
        end[$1] = y($3)
        next
    }
    { path[$1] = sprintf("M60 %.1fH540", y($3)); end[$1] = y($3) }
    END {
        for (name in path) {
            printf "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>", path[name], colour[name]
            printf "<text x=\"546\" y=\"%.0f\" fill=\"%s\">%s</text>\n", end[name] + (name == "remus" ? 14 : 0), colour[name], name
        }
        print "</svg>"
    }' >"$directory/measured.svg"
printf '\nwritten: %s and %s\n' "$directory/measured.json" "$directory/measured.svg" >&2
