# make demo   brings up a group and breaks it before your eyes (KEEP=1: and leaves it up)
# make unit   what needs no root and no server: the core, its scripts, the simulation, the parsers
# make test   everything CI runs, on real servers
# make soak   the long forms
# make field  the stories of lab/field on every build
# All but unit do their own set-up: Debian 12 with Go, as root or with sudo.

SHELL       := /bin/bash -o pipefail
VERSION     ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),devel)
export PATH := $(PATH):/usr/sbin:/sbin

# Network namespaces need root: without it the test binaries, and only they,
# run under sudo.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E env PATH=$(PATH))
GOTEST = go test -timeout=$(TIMEOUT) $(if $(ROOT),-exec='$(ROOT)')
TIMEOUT = 40m

.PHONY: build install setup check unit test test-systemd sim soak field bench demo picture fuzz package clean

# grpcnotrace: grpc's traces execute templates, which call methods by name, so
# that the linker could leave no method out: 3 MB of 20.
#
# RARE is what runs at a start, for a page or a command, or waits for a peer most of
# its time (grpc, TLS): without inlining it is 1.8 MB of 22.7 smaller, and BenchmarkSteady
# tells no difference. The last pattern that fits a package counts: the audit of a key
# space computes for long, and is inlined.
#
# -funcalign: functions begin at multiples of 16 bytes, as on arm64, and not of 32.
OURS  = github.com/redis-watchdog/redis-watchdog
RARE  = $(OURS)/cmd/... $(OURS)/preflight/... $(OURS)/systemd/... \
        net/http/... encoding/... regexp/... crypto/... compress/... fmt html/... log/... math/big mime/... os/... text/... vendor/... \
        github.com/redis/... github.com/prometheus/... github.com/spf13/... github.com/godbus/... maragu.dev/... \
        github.com/beorn7/... github.com/coreos/... github.com/hashicorp/... \
        go.etcd.io/... google.golang.org/... golang.org/... go.yaml.in/... go.uber.org/...
SMALL = -trimpath -tags=grpcnotrace $(RARE:%=-gcflags=%=-l) -gcflags=$(OURS)/preflight/keyspace/...= -gcflags=crypto/internal/fips140/...= \
        -ldflags='-s -w -funcalign=16 -X main.version=$(1)'

build: # one static binary, and the small one that is root
	CGO_ENABLED=0 go build $(call SMALL,$(VERSION)) -o bin/redis-watchdog ./cmd/redis-watchdog
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/redis-watchdog-helper ./cmd/redis-watchdog-helper

# What the package holds but documentation: see systemd/package/nfpm.yaml. DESTDIR
# goes before every path.
install: # what runs on a host, after make build
	install -D -m 755 -t $(DESTDIR)/usr/bin bin/redis-watchdog
	install -D -m 755 -t $(DESTDIR)/usr/libexec bin/redis-watchdog-helper
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system systemd/*.service systemd/*.socket
	install -D -m 644 systemd/package/sysusers.conf $(DESTDIR)/usr/lib/sysusers.d/redis-watchdog.conf
	install -D -m 644 systemd/package/tmpfiles.conf $(DESTDIR)/usr/lib/tmpfiles.d/redis-watchdog.conf

# For the demo .tools/etcd and `tools/setup demo` will do.
setup: .tools/etcd .tools/etcdctl .tools/etcdutl .tools/promtool .tools/oldetcd # Redis, Sentinel, nftables by apt-get; etcd from its source. Starts no service
	tools/setup

# The lab builds it too where it is missing (lab.EtcdBinary), under a lock.
.tools/etcd: tools/etcd/go.mod
	mkdir -p .tools
	cd tools/etcd && flock ../../$@.lock sh -c "CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o ../../$@.new go.etcd.io/etcd/server/v3 && mv ../../$@.new ../../$@"

# Built before the tests: beside them it would take their processor.
.tools/etcdctl .tools/etcdutl: .tools/etcd
	cd tools/etcd && flock ../../$@.lock sh -c "CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o ../../$@.new go.etcd.io/etcd/$(@F)/v3 && mv ../../$@.new ../../$@"

.tools/promtool: tools/promtool
	tools/promtool

.tools/oldetcd: tools/oldetcd
	tools/oldetcd

.tools/staticcheck: tools/staticcheck/go.mod
	mkdir -p .tools
	cd tools/staticcheck && go build -trimpath -o ../../$@ honnef.co/go/tools/cmd/staticcheck

check: .tools/staticcheck build
	@# One that is larger has grown a caller of methods by name: see build.
	@test $$(stat -c %s bin/redis-watchdog) -lt 21000000 || { echo "bin/redis-watchdog has 21 MB and more"; exit 1; }
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	go vet ./...
	go vet -tags=soak ./...
	.tools/staticcheck ./...

# Tests that need a server or root skip themselves by -short; in lab nearly all do.
unit:
	go test -short $$(go list ./... | grep -v /lab) ./lab/testguard ./lab/sim

# In this order: what keeps the processors busy by itself; the product's packages
# beside real servers, in the tests' own process and therefore under the race
# detector; whole groups, whose watchdogs are processes of their own. There are
# never more real servers at a time than the processors can carry, whatever -p and
# -parallel say (package lab/slot).
BUSY    = ./watchdog/... ./lab/sim ./docs
SERVERS = ./cmd/... ./fencing/... ./preflight/... ./sentinel/... ./systemd/... ./lab
GROUPS  = $(filter-out %/lab %/lab/sim,$(shell go list ./lab/...))
test: setup build check
	@# Compiled first: a compiler beside them would take the tests' processor.
	go list -race -test -deps -export $(BUSY) $(SERVERS) >/dev/null
	go list -test -deps -export $(GROUPS) >/dev/null
	@# Likewise the root of the booted hosts.
	$(GOTEST) -count=1 -run='^TestRootIsMade$$' ./lab/booted
	go run ./lab/testguard $(GOTEST) -race -count=1 $(BUSY) -- $(GOTEST) -race -count=1 -p=4 -parallel=8 $(SERVERS) -- $(GOTEST) -count=1 -p=8 -parallel=8 $(GROUPS)

SIM ?= 10m
sim: # the simulated group, as long as you like: make sim SIM=1h
	go test ./lab/sim -count=1 -timeout=0 -v -run=TestSim -sim.time=$(SIM)

SOAK ?= .
soak: TIMEOUT = 6h
soak: setup build # the long forms: make soak SOAK=TestName
	tools/setup soak
	$(GOTEST) -tags=soak -count=1 -v -run='$(SOAK)' ./...

FIELD ?= .
field: TIMEOUT = 3h
field: setup build # the stories of lab/field on every build: make field FIELD=TestName
	tools/setup soak
	@failed=; for build in 'redis 6.0' 'redis 7.0' 'redis 8.0' 'valkey 8.1' 'valkey 9'; do \
		echo "== $$build"; FIELD_BUILD="$$build" $(GOTEST) -count=1 -v -parallel=8 -run='$(FIELD)' ./lab/field || failed=1; \
	done; test -z "$$failed"

BENCH ?= .
bench: setup build
	$(GOTEST) -count=1 -run='^$$' -bench='$(BENCH)' ./...

# Packages are fetched while Go compiles. The watchdog is built by the lab, of
# what is compiled here.
demo:
	$(MAKE) --no-print-directory -j3 demo-packages .tools/etcd bin/demo
	$(ROOT) bin/demo $(if $(KEEP),-keep)

.PHONY: demo-packages bin/demo
demo-packages:
	tools/setup demo
bin/demo:
	CGO_ENABLED=0 go build -trimpath -tags=grpcnotrace -o $@ ./lab/demo
	CGO_ENABLED=0 go build -trimpath -tags=grpcnotrace,failpoints -o .tools/redis-watchdog-lab ./cmd/redis-watchdog

picture: .tools/etcd # records a failover, and draws it
	tools/setup demo
	CGO_ENABLED=0 go build -trimpath -tags=grpcnotrace -o bin/picture ./lab/picture
	$(ROOT) bin/picture docs/failover.svg

FUZZ ?= 30s
fuzz: # every fuzz target in turn, each for FUZZ
	@git grep -oE '^func Fuzz\w+' -- '*_test.go' | sed 's/:func /:/' | while IFS=: read -r file name; do \
		go test -run='^$$' -fuzz="^$$name$$" -fuzztime=$(FUZZ) "./$$(dirname $$file)" || exit; done

# A version for packages: of the tag, or 0.1.0~COMMITS.gCOMMIT before there is one.
PACKAGE_VERSION ?= $(or $(shell git describe --tags --exact-match 2>/dev/null | sed 's/^v//'),0.1.0-$(shell git rev-list --count HEAD 2>/dev/null || echo 0).g$(shell git rev-parse --short HEAD 2>/dev/null || echo unknown))
PACKAGE_ARCH ?= $(shell go env GOARCH)
package: .tools/nfpm # a .deb and a .rpm in bin/
	rm -rf bin/package bin/*.deb bin/*.rpm && mkdir -p bin/package/man bin/package/completion
	CGO_ENABLED=0 GOARCH=$(PACKAGE_ARCH) go build $(call SMALL,$(PACKAGE_VERSION)) -o bin/package/redis-watchdog ./cmd/redis-watchdog
	CGO_ENABLED=0 GOARCH=$(PACKAGE_ARCH) go build -trimpath -ldflags='-s -w' -o bin/package/redis-watchdog-helper ./cmd/redis-watchdog-helper
	go run -tags=man ./cmd/redis-watchdog man bin/package/man && gzip -9n bin/package/man/*
	for shell in bash zsh fish; do go run ./cmd/redis-watchdog completion $$shell >bin/package/completion/$$shell || exit; done
	for kind in deb rpm; do PACKAGE_VERSION=$(PACKAGE_VERSION) PACKAGE_ARCH=$(PACKAGE_ARCH) .tools/nfpm package --config systemd/package/nfpm.yaml --packager $$kind --target bin/ || exit; done

.tools/nfpm: tools/nfpm/go.mod
	mkdir -p .tools
	cd tools/nfpm && CGO_ENABLED=0 go build -trimpath -o ../../.tools/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm

# Hosts with a real systemd and Debian's packages: the long forms. make test runs
# the short ones.
test-systemd: setup package
	$(GOTEST) -tags=soak -race -count=1 -v ./systemd ./lab/booted

clean:
	rm -rf bin .tools .cache
