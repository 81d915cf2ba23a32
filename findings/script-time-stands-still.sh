#!/bin/bash
# A script that waits 100 ms by the server's clock holds the server for 5 seconds.
#
# Guess: redis.call('TIME') in a script is the time, so a script that tries again
# until TIME says that 100 ms are over takes 100 ms.
# Seen: with 7.0.15 it does. With Redis 8.0.2 and Valkey 8.1.1 (Debian 13) TIME stands
# still while a script runs, until that is past busy-reply-threshold: then the server
# looks after its other clients for the first time, which sets the clock, and TIME
# jumps by the whole of it at once. A script that is to take 100 ms takes just that
# threshold, 5 seconds as it comes (800 ms here); nobody is answered meanwhile, which
# down-after-milliseconds may not bear. What measures itself by TIME takes 0 ms, or
# the threshold. An upgrade from 7.0 brings it, without an error or a line in the log
# before the threshold.
#
# Runs outside CI, as root: bash findings/script-time-stands-still.sh, half a minute.
# Needs Debian 12 with debootstrap.
set -euo pipefail
old=5:7.0.15-1~deb12u10
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download "redis-tools=$old" libjemalloc2=5.3.0-1 liblzf1=3.6-3 >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
# redis-server is redis-check-rdb by another name: one binary in redis-tools.
ln -s redis-check-rdb root/usr/bin/redis-server
debootstrap --variant=minbase --include=redis-tools,valkey-tools trixie trixie >log 2>&1 || { tail log; exit 1; }
chroot trixie dpkg-query -W redis-tools valkey-tools
for server in redis valkey; do
	[ -e trixie/usr/bin/$server-server ] || ln -s $server-check-rdb trixie/usr/bin/$server-server
done
cli() { LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu root/usr/bin/redis-cli -s "$socket" "$@"; }

# Tries again until 100 ms are over by the server's clock.
script='local function ms() local t = redis.call("TIME"); return t[1] * 1000 + math.floor(t[2] / 1000) end
local begun, tries = ms(), 0
while ms() < begun + 100 do tries = tries + 1 end
return tries'
threshold=800
result=0

# run NAME WANT PREFIX DIR SERVER...: starts a server whose own DIR is PREFIX/DIR here,
# runs the script, and compares.
run() {
	local name=$1 want=$2 begun ended tries took got=short
	local at=$4
	socket=$3$at/s
	shift 4
	"$@" --port 0 --unixsocket "$at/s" --dir "$at" --save '' --busy-reply-threshold $threshold >/dev/null 2>&1 &
	pid=$!
	for _ in $(seq 100); do cli PING >/dev/null 2>&1 && break; sleep 0.05; done
	begun=$(date +%s%3N)
	tries=$(cli EVAL "$script" 0)
	ended=$(date +%s%3N)
	took=$((ended - begun))
	[ $took -lt $threshold ] || got=threshold
	echo "$name: $took ms, $tries tries (busy-reply-threshold $threshold)"
	[ $got = "$want" ] || { echo "changed: $want was seen"; result=1; }
	kill $pid
	wait $pid || true
	pid=
}

run "Redis 7.0.15" short "" "$dir" env LD_LIBRARY_PATH="$dir/root/usr/lib/x86_64-linux-gnu" root/usr/bin/redis-server
run "Redis 8.0.2" threshold "$dir/trixie" /tmp chroot trixie redis-server
run "Valkey 8.1.1" threshold "$dir/trixie" /tmp chroot trixie valkey-server
[ $result = 0 ] || exit 1
echo "as described"
