# Offhook. `make run` starts the PBX, `make test` runs every test; both install what they need.
.PHONY: run build test fuzz bench fmt lint need-build need-test need-fuzz
export CARGO_TERM_COLOR ?= auto
PHONES = tests/phones
SECONDS_EACH ?= 600

run: need-build
	cargo build --locked --release --bin offhook
	exec target/release/offhook serve

build: need-build
	cargo build --locked --release --bin offhook

test: need-test lint
	cargo test --locked --workspace
	cargo build --locked --release --bin offhook
	python3 $(PHONES)/first_call.py target/release/offhook

# Ten minutes each of SIP, SDP and RTP; `make fuzz SECONDS_EACH=60` is shorter.
fuzz: need-fuzz
	SECONDS_EACH=$(SECONDS_EACH) tests/fuzz/run.sh

bench: need-test build
	python3 tests/bench/bench.py target/release/offhook

fmt:
	cargo fmt --all

lint: need-build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

need-build:
	@tests/need.sh cmake cc:gcc make

need-test:
	@tests/need.sh cmake cc:gcc make python3 sipp:sip-tester baresip:baresip-core initdb:postgresql openssl ip:iproute2 iptables

need-fuzz:
	@tests/need.sh cmake cc:gcc make g++
