# Offhook. `make run` starts the PBX, `make test` runs every test; both install what they need.
.PHONY: run build test fuzz flood bench soak fmt lint need-build need-test need-bench need-fuzz
export CARGO_TERM_COLOR ?= auto
PHONES = tests/phones
TARGET = $(or $(CARGO_TARGET_DIR),target)
OFFHOOK = $(TARGET)/release/offhook
# Two at a time, the longest first.
PHONE_TESTS = scenarios audio_quality hold leftovers first_call provider hostile silence nat storage scripts dtmf emergency browser lamps message transfer rooms srtp restart readme ladder quality
SECONDS_EACH ?= 600

run: need-build
	cargo build --locked --release --bin offhook
	exec $(OFFHOOK) serve

build: need-build
	cargo build --locked --release --bin offhook

test: need-test lint
	cargo test --locked --workspace
	cargo build --locked --release --bin offhook
	printf '%s\n' $(PHONE_TESTS) | xargs -P 2 -I TEST $(PHONES)/one.sh TEST $(OFFHOOK)
	python3 $(PHONES)/flood.py $(OFFHOOK) 20

# Ten minutes each of SIP, SDP and RTP; `make fuzz SECONDS_EACH=60` is shorter.
fuzz: need-fuzz
	SECONDS_EACH=$(SECONDS_EACH) tests/fuzz/run.sh

# A whole minute of what `make test` tries for twenty seconds.
flood: need-test build
	python3 $(PHONES)/flood.py $(OFFHOOK)

bench: need-bench build
	cargo build --locked --release --manifest-path tests/bench/load/Cargo.toml --target-dir $(TARGET)
	python3 tests/bench/bench.py $(OFFHOOK)
	python3 tests/bench/through.py $(OFFHOOK) $(TARGET)/release/load

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
	@tests/need.sh cmake cc:gcc make python3 sipp:sip-tester baresip:baresip-core linphonec:linphone-cli initdb:postgresql openssl espeak-ng ip:iproute2 iptables curl chromium node:nodejs npm

need-bench:
	@tests/need.sh python3 sipp:sip-tester

need-fuzz:
	@tests/need.sh cmake cc:gcc make g++
