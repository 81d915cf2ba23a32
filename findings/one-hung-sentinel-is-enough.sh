#!/bin/bash
# Of three Sentinels one hangs, and clients that know all three never reach the master.
#
# Guess: a client that is given three Sentinels does without one of them.
# Seen (Redis and Sentinel 7.0.15 of Debian 12), a Sentinel that hangs (SIGSTOP here;
# its host is paused or cut off) while its kernel still takes connections:
# 1. A client starts, and the Sentinel that hangs is the first of its list. ioredis
#    6.0.0, iovalkey 0.4.0 and node-redis 6.3.1 (createSentinel) wait for its answer,
#    and wait: no timeout is set by default for what is asked of a Sentinel. go-redis
#    9.23.0 and rueidis 1.0.79 are at the master after five seconds.
# 2. A client runs, the Sentinel that it subscribed to hangs, the master dies, and the
#    two other Sentinels promote the replica. go-redis, node-redis and rueidis all
#    stay with the dead master: none listens to a second Sentinel. node-redis and
#    rueidis still did after four minutes (rueidis dials the dead address again and
#    again and asks nobody); go-redis asks the Sentinel that hangs before each dial,
#    under a lock, and had answered nothing after two and a half minutes. Here twenty
#    seconds are waited.
# A host that is paused or cut off, with a Redis and a Sentinel on it, is the ordinary
# way in which both come together: of the clients, a part that chance has chosen stays
# behind, though the failover went well.
#
# Runs outside CI: bash findings/one-hung-sentinel-is-enough.sh, two minutes. Needs
# Debian 12, Go 1.24 or later, node 20 or later with npm.
set -euo pipefail
version=5:7.0.15-1~deb12u10
dir=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; wait; rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download "redis-tools=$version" libjemalloc2=5.3.0-1 liblzf1=3.6-3 >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
bin=$dir/root/usr/bin
# redis-server and redis-sentinel are redis-check-rdb by other names: one binary.
ln -s redis-check-rdb "$bin/redis-server"
ln -s redis-check-rdb "$bin/redis-sentinel"
npm install --silent --no-audit --no-fund --prefix "$dir/js" ioredis@6.0.0 iovalkey@0.4.0 redis@6.3.1 >/dev/null
export NODE_PATH=$dir/js/node_modules
mkdir go
cat >go/main.go <<'EOF'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// main writes every 200 ms and prints a line for each OK.
func main() {
	var set func(context.Context) error
	if sentinels := os.Args[2:]; os.Args[1] == "go-redis" {
		c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: sentinels})
		set = func(ctx context.Context) error { return c.Set(ctx, "k", 1, 0).Err() }
	} else {
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: sentinels, Sentinel: rueidis.SentinelOption{MasterSet: "m"}})
		if err != nil {
			panic(err)
		}
		set = func(ctx context.Context) error { return c.Do(ctx, c.B().Set().Key("k").Value("1").Build()).Error() }
	}
	for ; ; time.Sleep(200 * time.Millisecond) {
		go func() {
			if set(context.Background()) == nil {
				fmt.Println("OK")
			}
		}()
	}
}
EOF
(cd go && go mod init x && go get github.com/redis/go-redis/v9@v9.23.0 github.com/redis/rueidis@v1.0.79 && CGO_ENABLED=0 go build -o ../goclient .) >/dev/null 2>&1
cat >client.js <<'EOF'
const [, , library, ...addresses] = process.argv;
const sentinels = addresses.map((a) => ({ host: a.split(':')[0], port: Number(a.split(':')[1]) }));
(async () => {
  let set;
  if (library === 'redis') {
    const client = await require('redis').createSentinel({ name: 'm', sentinelRootNodes: sentinels }).on('error', () => {}).connect();
    set = () => client.set('k', '1');
  } else {
    const m = require(library);
    const client = new (m.Redis || m.default || m)({ name: 'm', sentinels });
    client.on('error', () => {});
    set = () => client.set('k', '1');
  }
  setInterval(() => set().then(() => console.log('OK'), () => {}), 200);
})();
EOF

export LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu
cli() { "$bin/redis-cli" -p "$@"; }
await() { for _ in $(seq 300); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.1; done; echo "waited in vain for: $*"; exit 1; }

# group PORT: a master, a replica and three Sentinels that know each other.
group() {
	port=$1 sentinels=()
	mkdir "$dir/$port"
	"$bin/redis-server" --port $port --save '' --dir "$dir/$port" >/dev/null & master=$!
	"$bin/redis-server" --port $((port + 1)) --replicaof 127.0.0.1 $port --save '' --dir "$dir/$port" >/dev/null & pids+=("$!" "$master")
	await sh -c "$bin/redis-cli -p $port INFO replication | grep -q state=online"
	for i in 2 3 4; do
		printf 'port %d\nsentinel monitor m 127.0.0.1 %d 2\nsentinel down-after-milliseconds m 2000\n' $((port + i)) $port >"$dir/$port/$i.conf"
		"$bin/redis-sentinel" "$dir/$port/$i.conf" >/dev/null & sentinels+=("$!") pids+=("$!")
	done
	for i in 2 3 4; do await sh -c "$bin/redis-cli -p $((port + i)) SENTINEL MASTER m | tr -d '\r' | paste -sd, | grep -q 'num-slaves,1,num-other-sentinels,2'"; done
}
# client LIBRARY: starts one, and prints each OK to a file of the group.
client() {
	local list="127.0.0.1:$((port + 2)) 127.0.0.1:$((port + 3)) 127.0.0.1:$((port + 4))"
	case $1 in
	go-redis | rueidis) env -u LD_LIBRARY_PATH ./goclient "$1" $list >"$dir/$port/ok.$1" 2>/dev/null & ;;
	*) env -u LD_LIBRARY_PATH node client.js "$1" $list >"$dir/$port/ok.$1" 2>/dev/null & ;;
	esac
	pids+=("$!")
}
count() { grep -c . "$dir/$port/ok.$1" || true; }
result=0
expect() { # LIBRARY some|none COUNT
	echo "   $1: $3 writes answered OK"
	case $2 in some) [ "$3" -gt 0 ] || result=1 ;; none) [ "$3" = 0 ] || result=1 ;; esac
}

group $((20000 + RANDOM % 10000))
cli $port INFO server | tr -d '\r' | grep ^redis_version
echo "1. started while the first Sentinel of three hangs, in 20 s:"
kill -STOP "${sentinels[0]}"
for library in ioredis iovalkey redis go-redis rueidis; do client $library; done
sleep 20
for library in ioredis iovalkey redis; do expect $library none "$(count $library)"; done
for library in go-redis rueidis; do expect $library some "$(count $library)"; done

echo "2. the Sentinel that a client subscribed to hangs, the master dies, in 20 s after +switch-master:"
for library in redis rueidis go-redis; do
	group $((20000 + RANDOM % 10000))
	client $library
	await test -s "$dir/$port/ok.$library"
	sleep 3
	hung=
	for i in 0 1 2; do
		if [ -z "$hung" ] && cli $((port + 2 + i)) CLIENT LIST | grep -v name=sentinel- | grep -q ' p\?sub=[1-9]'; then hung=$i; fi
	done
	[ -n "$hung" ] || { echo "   $library subscribes to no Sentinel any more"; result=1; continue; }
	kill -STOP "${sentinels[$hung]}"
	kill -9 "$master"
	await sh -c "$bin/redis-cli -p $((port + 2 + (hung + 1) % 3)) SENTINEL GET-MASTER-ADDR-BY-NAME m | grep -qx $((port + 1))"
	before=$(count $library)
	sleep 20
	expect $library none $(($(count $library) - before))
done
[ $result = 0 ] || { echo changed; exit 1; }
echo "as described"
