#!/bin/bash
# ioredis and iovalkey with Sentinel do not hear of a failover while the old master
# hangs, and every write they queued for it is acknowledged, and lost, when it wakes.
#
# Guess: a client that is configured with Sentinels follows +switch-master.
# Seen (ioredis 5.11.1 and 6.0.0, iovalkey 0.4.0, Redis and Sentinel 7.0.15 of
# Debian 12): both ask a Sentinel when they connect, and subscribe to nothing unless
# failoverDetector is set (it is not by default), nor has a command a timeout. The
# master stands still (SIGSTOP here; a paused virtual machine, a long script, a host
# that swaps), Sentinel promotes the replica, and the client goes on writing into the
# socket of the old one, without an error. When that wakes it is a master still until
# a Sentinel has demoted it: it executes all that waits in its socket, the promises
# of the client resolve with OK, and none of it is on the new master. With
# failoverDetector the client leaves the old master and sends again what it has no
# answer to: nothing is lost. redis 6.3.1 (createSentinel) and go-redis 9.23.0
# (NewFailoverClient) subscribe by default.
# So it is no help that the application waits for each OK: a timeout of its own
# (commandTimeout), failoverDetector, or a Redis that refuses on waking are.
#
# Runs outside CI: bash findings/ioredis-writes-to-the-old-master.sh, a minute.
# Needs Debian 12 and node 18 or later with npm.
set -euo pipefail
version=5:7.0.15-1~deb12u10
dir=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download "redis-tools=$version" libjemalloc2=5.3.0-1 liblzf1=3.6-3 >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
bin=$dir/root/usr/bin
# redis-server and redis-sentinel are redis-check-rdb by other names: one binary.
ln -s redis-check-rdb "$bin/redis-server"
ln -s redis-check-rdb "$bin/redis-sentinel"
export LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu
npm install --silent --no-audit --no-fund --prefix "$dir/js" old@npm:ioredis@5.11.1 new@npm:ioredis@6.0.0 iovalkey@0.4.0 >/dev/null
export NODE_PATH=$dir/js/node_modules

# Writes a number every 100 ms and prints those that were answered OK.
cat >client.js <<'EOF'
const [, , library, detect, port] = process.argv;
const module_ = require(library);
const Redis = module_.Redis || module_.default || module_;
const client = new Redis({ name: 'm', sentinels: [{ host: '127.0.0.1', port: Number(port) }], failoverDetector: detect === 'detect' });
client.on('error', () => {});
let n = 0;
setInterval(() => { const i = n++; client.rpush(process.argv[5], i).then(() => console.log(i), () => {}); }, 100);
EOF

port=$((20000 + RANDOM % 10000))
cli() { "$bin/redis-cli" -p "$@"; }
await() { for _ in $(seq 300); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.1; done; echo "waited in vain for: $*"; exit 1; }
"$bin/redis-server" --port $port --save '' --dir "$dir" >master.log & master=$!
"$bin/redis-server" --port $((port + 1)) --replicaof 127.0.0.1 $port --save '' --dir "$dir" >replica.log & pids+=("$!")
pids+=("$master")
await sh -c "$bin/redis-cli -p $port INFO replication | grep -q state=online"
printf 'port %d\nsentinel monitor m 127.0.0.1 %d 1\nsentinel down-after-milliseconds m 2000\n' $((port + 2)) $port >sentinel.conf
"$bin/redis-sentinel" sentinel.conf >sentinel.log & pids+=("$!")
await sh -c "$bin/redis-cli -p $((port + 2)) SENTINEL REPLICAS m | grep -q 127.0.0.1:$((port + 1))"
cli $port INFO server | tr -d '\r' | grep ^redis_version

clients="old:as-it-comes new:as-it-comes iovalkey:as-it-comes new:detect"
for client in $clients; do
	node client.js "${client%:*}" "${client#*:}" $((port + 2)) "list:$client" >"ok:$client" & pids+=("$!")
done
for client in $clients; do await test -s "ok:$client"; done
kill -STOP "$master"
await sh -c "$bin/redis-cli -p $((port + 2)) SENTINEL GET-MASTER-ADDR-BY-NAME m | grep -qx $((port + 1))"
await sh -c "$bin/redis-cli -p $((port + 1)) ROLE | grep -qx master"
sleep 5 # the clients write on, three and more seconds after +switch-master
kill -CONT "$master"
await sh -c "$bin/redis-cli -p $port ROLE | grep -qx slave"
sleep 3
lost() { # of the writes that were answered OK, how many the new master has not
	cli $((port + 1)) LRANGE "list:$1" 0 -1 | sort >"has:$1"
	sort "ok:$1" | comm -23 - "has:$1" | grep -c . || true
}
result=0
for client in $clients; do
	n=$(lost "$client")
	echo "$client: $(grep -c . "ok:$client") writes answered OK, $n of them lost"
	case $client in
	*:detect) [ "$n" = 0 ] || result=1 ;;
	*) [ "$n" -gt 30 ] || result=1 ;;
	esac
done
[ $result = 0 ] || { echo changed; exit 1; }
echo "as described"
