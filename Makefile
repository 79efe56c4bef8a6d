# Offhook. `make run` starts the PBX, `make test` runs every test; both install what they need.
.PHONY: run build test bench fmt lint need-build need-test
export CARGO_TERM_COLOR ?= auto
PHONES = tests/phones

run: need-build
	cargo build --locked --release --bin offhook
	exec target/release/offhook serve

build: need-build
	cargo build --locked --release --bin offhook

test: need-test lint
	cargo test --locked --workspace
	cargo build --locked --release --bin offhook
	python3 $(PHONES)/first_call.py target/release/offhook

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
