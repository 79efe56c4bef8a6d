# Offhook. `make run` starts the PBX, `make test` runs every test; both install what they need.
.PHONY: run build test fuzz bench soak fmt lint need-build need-test need-bench need-fuzz
export CARGO_TERM_COLOR ?= auto
PHONES = tests/phones
TARGET = $(or $(CARGO_TARGET_DIR),target)
OFFHOOK = $(TARGET)/release/offhook
PHONE_TESTS = leftovers first_call hold audio_quality provider hostile silence nat storage scripts emergency browser lamps message transfer scenarios restart readme ladder flood
SECONDS_EACH ?= 600

run: need-build
	cargo build --locked --release --bin offhook
	exec $(OFFHOOK) serve

build: need-build
	cargo build --locked --release --bin offhook

test: need-test lint
	cargo test --locked --workspace
	cargo build --locked --release --bin offhook
	set -e; for test in $(PHONE_TESTS); do echo "== $$test"; python3 $(PHONES)/$$test.py $(OFFHOOK); done

# Ten minutes each of SIP, SDP and RTP; `make fuzz SECONDS_EACH=60` is shorter.
fuzz: need-fuzz
	SECONDS_EACH=$(SECONDS_EACH) tests/fuzz/run.sh

bench: need-bench build
	python3 tests/bench/bench.py $(OFFHOOK)

# Six minutes of calls: what stays behind of them in memory.
soak: need-bench build
	python3 tests/bench/soak.py $(OFFHOOK)

fmt:
	cargo fmt --all

lint: need-build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

need-build:
	@tests/need.sh cmake cc:gcc make

need-test:
	@tests/need.sh cmake cc:gcc make python3 sipp:sip-tester baresip:baresip-core linphonec:linphone-cli initdb:postgresql openssl ip:iproute2 iptables curl chromium node:nodejs npm

need-bench:
	@tests/need.sh python3 sipp:sip-tester

need-fuzz:
	@tests/need.sh cmake cc:gcc make g++
